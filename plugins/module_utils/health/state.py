"""The published state of a host.

It changes only when several checks in a row agree. Without this hysteresis a load that swings around a
threshold would send jobs back and forth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ..host.clock import timestamp
from .policy import verdict_named


class State(NamedTuple):
    """The published verdict, and the verdicts of the last checks, the newest last.

    ``failures`` counts the checks in a row whose own verdict was the policy's worst, the one that sends jobs
    elsewhere. ``at`` is the boot-time clock in seconds of the last check.
    """

    verdict: str = ""
    recent: tuple[str, ...] = ()
    failures: int = 0
    at: float = 0.0


def step(state: State, verdict: str, policy: Mapping[str, Any], at: float) -> State:
    """Return the state after a check with ``verdict`` at ``at``.

    ``at`` is in seconds of the boot-time clock. If ``fall_after`` checks in a row are worse than the
    published verdict, the mildest of them is published. If ``rise_after`` checks in a row are better, the
    worst of them is published. The first check is published at once. Checks that are further apart than a
    verdict is valid, as after a sleep, are not in a row.
    """
    order = [each["verdict"] for each in policy["verdicts"]]
    fall, rise = policy["hysteresis"]["fall_after"], policy["hysteresis"]["rise_after"]
    in_a_row = 0 <= at - state.at <= policy["valid_seconds"]
    before = tuple(each for each in state.recent if each in order) if in_a_row else ()
    recent = (*before, verdict)[-max(fall, rise) :]
    failures = (state.failures if in_a_row else 0) + 1 if verdict == order[-1] else 0
    published = verdict if state.verdict not in order else _moved(state.verdict, recent, order, fall, rise)
    return State(published, recent, failures, at)


def _moved(published: str, recent: Sequence[str], order: Sequence[str], fall: int, rise: int) -> str:
    now = order.index(published)
    ranks = [order.index(each) for each in recent]
    falling, rising = ranks[-fall:], ranks[-rise:]
    if len(falling) == fall and min(falling) > now:
        return order[min(falling)]
    if len(rising) == rise and max(rising) < now:
        return order[max(rising)]
    return published


def health_document(
    state: State,
    score: int,
    policy: Mapping[str, Any],
    now: float,
    host: str,
    runs_on: Sequence[str],
    fallback_runs_on: Sequence[str],
) -> dict[str, Any]:
    """Return the content of ``health.json`` at ``now`` (seconds since the epoch).

    ``score`` is that of the last check; ``verdict`` and ``recommendation`` are the published ones.
    ``runs_on`` has the labels for a workflow: the fallback's when the published verdict is the policy's worst
    and the policy allows a fallback.
    """
    published = verdict_named(policy, state.verdict) or policy["verdicts"][-1]
    leave = published == policy["verdicts"][-1] and policy["fallback_allowed"]
    return {
        "score": score,
        "verdict": published["verdict"],
        "recommendation": published["recommendation"],
        "observed_at": timestamp(now),
        "expires_at": timestamp(now + policy["valid_seconds"]),
        "consecutive_failures": state.failures,
        "host": host,
        "runs_on": list(fallback_runs_on if leave else runs_on),
    }


def encode(state: State) -> dict[str, Any]:
    """Return ``state`` as plain data."""
    return {**state._asdict(), "recent": list(state.recent)}


def decode(data: Optional[Mapping[str, Any]]) -> State:
    """Return the state in ``data``; a first state when it is missing or damaged."""
    try:
        given = data or {}
        return State(
            verdict=str(given["verdict"]),
            recent=tuple(str(each) for each in given["recent"])[-100:],
            failures=max(0, int(given["failures"])),
            at=float(given["at"]),
        )
    except (KeyError, TypeError, ValueError):
        return State()
