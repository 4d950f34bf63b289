"""Goals of an installation, and whether they are met. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, Optional

from ..history.statistics import share

_FAR_BELOW = 100


class Policy(NamedTuple):
    """Goals in percent and seconds, and the price of a hosted minute.

    Source of the goals: ColdVox's own key figures. Source of the price: a standard Linux 2-core runner from
    2026 on, docs.github.com/billing/reference/actions-runner-pricing. Public repositories pay nothing.
    """

    success_percent: float = 95.0
    self_hosted_percent: float = 70.0
    slower_percent: float = 25.0
    model_seconds: float = 15.0
    uptime_percent: float = 99.0
    fallback_percent: float = 5.0
    cache_hit_percent: float = 80.0
    price_per_minute: float = 0.006
    currency: str = "USD"


class Totals(NamedTuple):
    """Totals that the goals judge; None is unknown.

    ``slower_percent`` is how much longer jobs take here than hosted, negative if they are faster.
    ``fallbacks`` are hosted runs of jobs that also run here. ``uptime_percent`` is that of business hours.
    ``model_seconds`` is how long a job waits for its model.
    """

    jobs_here: int = 0
    successes_here: int = 0
    jobs_hosted: int = 0
    fallbacks: int = 0
    slower_percent: Optional[float] = None
    uptime_percent: Optional[float] = None
    hosted_known: bool = False
    model_seconds: Optional[float] = None


class Goal(NamedTuple):
    """A goal, its target and its value; if ``met`` is None, ``value`` says why."""

    name: str
    target: str
    value: str
    met: Optional[bool]


def goals(totals: Totals, policy: Policy) -> tuple[Goal, ...]:
    """Return every goal of ``policy``, judged by ``totals``."""
    return tuple(_goals(totals, policy))


def _goals(totals: Totals, policy: Policy) -> Iterator[Goal]:
    ran = totals.jobs_here + totals.jobs_hosted
    no_jobs = "no job ended in this time"
    no_hosted = "no hosted job is in the history"
    yield _at_least(
        "Jobs that succeed here",
        share(totals.successes_here, totals.jobs_here),
        policy.success_percent,
        no_jobs,
    )
    yield _at_least(
        "Jobs that run here",
        share(totals.jobs_here, ran) if totals.hosted_known else None,
        policy.self_hosted_percent,
        no_hosted,
    )
    yield _slower(totals, policy)
    yield _below(
        "Model ready for a job",
        totals.model_seconds,
        policy.model_seconds,
        "s",
        "there is no model in the store",
    )
    yield _at_least(
        "Up in business hours",
        totals.uptime_percent,
        policy.uptime_percent,
        "no business hour has samples",
    )
    yield _below(
        "Jobs that fell back to hosted",
        share(totals.fallbacks, ran) if totals.hosted_known else None,
        policy.fallback_percent,
        "%",
        no_hosted,
    )


def _at_least(name: str, value: Optional[float], target: float, unknown: str) -> Goal:
    asked = f"at least {target:g} %"
    if value is None:
        return Goal(name, asked, unknown, None)
    return Goal(name, asked, f"{rounded(value)} %", value >= target)


def _below(name: str, value: Optional[float], target: float, unit: str, unknown: str) -> Goal:
    asked = f"below {target:g} {unit}"
    if value is None:
        return Goal(name, asked, unknown, None)
    # Digits far below the target mean nothing.
    least = target / _FAR_BELOW
    shown = f"under {least:g}" if 0 < value < least else rounded(value)
    return Goal(name, asked, f"{shown} {unit}", value < target)


def _slower(totals: Totals, policy: Policy) -> Goal:
    name, asked = "Time against hosted runners", f"at most {policy.slower_percent:g} % more"
    value = totals.slower_percent
    if value is None:
        return Goal(name, asked, "no job ran both here and hosted", None)
    return Goal(
        name,
        asked,
        f"{rounded(abs(value))} % {'more' if value > 0 else 'less'}",
        value <= policy.slower_percent,
    )


def rounded(value: float) -> str:
    """Return ``value`` with few digits, rounded down: a missed goal never looks met."""
    return f"{math.floor(value * 10) / 10:g}" if value >= 1 else f"{value:.2g}"
