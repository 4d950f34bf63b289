"""Hysteresis: what is published about a host moves only when several checks in a row agree. Pure.

A load that swings around a threshold would else send jobs back and forth with every check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ..host.clock import timestamp
from .policy import verdict_named


class State(NamedTuple):
    """What is published, and the verdicts of the last checks that it rests on, the newest last.

    ``failures`` counts the checks in a row whose own verdict was the policy's worst, the one that sends jobs
    elsewhere. ``at`` is the boot-time clock in seconds of the last check.
    """

    verdict: str = ""
    recent: tuple[str, ...] = ()
    failures: int = 0
    at: float = 0.0


def step(state: State, verdict: str, policy: Mapping[str, Any], at: float) -> State:
    """Return the state after a check at ``at`` (boot-time clock, seconds) that came to ``verdict``.

    Of a row of checks that are all worse than what is published, the mildest is what becomes published, and
    of a row that are all better the least good: no more than every one of them says. The first check of all
    counts at once. Checks further apart than the verdict is valid, as after a sleep, are not in a row.
    """
    order = [one["verdict"] for one in policy["verdicts"]]
    fall, rise = policy["hysteresis"]["fall_after"], policy["hysteresis"]["rise_after"]
    in_a_row = 0 <= at - state.at <= policy["valid_seconds"]
    before = tuple(one for one in state.recent if one in order) if in_a_row else ()
    recent = (*before, verdict)[-max(fall, rise) :]
    failures = (state.failures if in_a_row else 0) + 1 if verdict == order[-1] else 0
    published = verdict if state.verdict not in order else _moved(state.verdict, recent, order, fall, rise)
    return State(published, recent, failures, at)


def _moved(published: str, recent: Sequence[str], order: Sequence[str], fall: int, rise: int) -> str:
    now = order.index(published)
    ranks = [order.index(one) for one in recent]
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
    """Return what ``health.json`` says at ``now`` (seconds since the epoch).

    ``score`` is that of the last check, ``verdict`` and ``recommendation`` are the published ones.
    ``runs_on`` are the labels for a workflow: the fallback's when the host is not fit and the policy allows
    to leave it.
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
    """Return the state in ``data``; what is missing or damaged is a first check."""
    try:
        given = data or {}
        return State(
            verdict=str(given["verdict"]),
            recent=tuple(str(one) for one in given["recent"])[-100:],
            failures=max(0, int(given["failures"])),
            at=float(given["at"]),
        )
    except (KeyError, TypeError, ValueError):
        return State()
