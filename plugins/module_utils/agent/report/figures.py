"""Figures of a report: jobs and samples, by day and against the goals. Pure."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Optional

from ...health.dispatch import CLOUD, SELF_HOSTED
from ..history.jobs import JUDGED, SUCCESS, Job
from ..history.statistics import DAY_SECONDS, durations, mean, share, summary
from .curve import Curve, Point
from .goals import Goal, Policy, Totals, goals
from .words import tenth

_MOST_JOB_NAMES = 40


class Day(NamedTuple):
    """The jobs that ended on ``date`` (YYYY-MM-DD); None is a mean without jobs."""

    date: str
    succeeded: int = 0
    failed: int = 0
    hosted: int = 0
    mean_seconds: Optional[float] = None
    hosted_mean_seconds: Optional[float] = None
    hit_percent: Optional[float] = None

    @property
    def success_percent(self) -> Optional[float]:
        """Percentage of the jobs here that succeeded."""
        return tenth(share(self.succeeded, self.succeeded + self.failed))


class Kind(NamedTuple):
    """All runs of a job here, and the mean time of the same job on hosted runners."""

    workflow: str
    job: str
    runs: int
    success_percent: Optional[float]
    mean_seconds: Optional[float]
    p90_seconds: Optional[float]
    hosted_mean_seconds: Optional[float]


class Figures(NamedTuple):
    """All that a report shows.

    ``saved_minutes`` are the minutes that GitHub would have billed for the jobs that ran here,
    ``saved_money`` is their cost at the policy's price. ``more_kinds`` counts the jobs left out of ``kinds``.
    """

    host: str
    begins_at: float
    ends_at: float
    policy: Policy
    totals: Totals
    goals: tuple[Goal, ...]
    days: tuple[Day, ...]
    kinds: tuple[Kind, ...]
    more_kinds: int
    curve: tuple[Point, ...]
    cache_hit_percent: Optional[float]
    saved_minutes: int
    saved_money: float
    unknown: Mapping[str, str]


class Period(NamedTuple):
    """The time that a report covers, in seconds since the epoch."""

    begins_at: float
    ends_at: float
    utc_offset_seconds: int = 0


def figures(
    host: str,
    period: Period,
    jobs: Optional[Sequence[Job]],
    curve: Optional[Curve],
    policy: Policy,
    model_seconds: Optional[float] = None,
    unknown: Optional[Mapping[str, str]] = None,
) -> Figures:
    """Return the figures of ``jobs`` and ``curve`` within ``period``.

    Either may be None; ``unknown`` says why. ``model_seconds`` is how long a job waits for its model.
    """
    ended = [job for job in jobs or () if _belongs(job, period)]
    here = [job for job in ended if job.kind == SELF_HOSTED]
    minutes = sum(_billed_minutes(job) for job in here)
    kinds = _kinds(ended)
    totals = _totals(ended, curve)._replace(model_seconds=model_seconds)
    return Figures(
        host=host,
        begins_at=period.begins_at,
        ends_at=period.ends_at,
        policy=policy,
        totals=totals,
        goals=goals(totals, policy),
        days=_days(ended, period),
        kinds=tuple(kinds[:_MOST_JOB_NAMES]),
        more_kinds=max(0, len(kinds) - _MOST_JOB_NAMES),
        curve=tuple(curve.points()) if curve else (),
        cache_hit_percent=tenth(summary(here).cache_hit_rate),
        saved_minutes=minutes,
        saved_money=round(minutes * policy.price_per_minute, 2),
        unknown=dict(unknown or {}),
    )


def _belongs(job: Job, period: Period) -> bool:
    """Return whether ``job`` ended in ``period`` with a result that counts."""
    at = job.completed_at
    return at is not None and period.begins_at <= at <= period.ends_at and job.result in JUDGED


def _billed_minutes(job: Job) -> int:
    """Return the minutes that GitHub would bill: each job's time is rounded up.

    Source: docs.github.com/billing/reference/actions-runner-pricing.
    """
    return math.ceil((job.duration_seconds or 0.0) / 60)


def _totals(ended: Sequence[Job], curve: Optional[Curve]) -> Totals:
    here = [job for job in ended if job.kind == SELF_HOSTED]
    hosted = [job for job in ended if job.kind == CLOUD]
    # A hosted run is a fallback only of a job that also runs here.
    names_here = {_name(job) for job in here}
    return Totals(
        jobs_here=len(here),
        successes_here=sum(job.result == SUCCESS for job in here),
        jobs_hosted=len(hosted),
        fallbacks=sum(_name(job) in names_here for job in hosted),
        slower_percent=_slower_percent(here, hosted),
        uptime_percent=curve.uptime_percent() if curve else None,
        hosted_known=bool(hosted),
    )


def _name(job: Job) -> tuple[str, str, str]:
    return (job.repository, job.workflow, job.job)


def _slower_percent(here: Sequence[Job], hosted: Sequence[Job]) -> Optional[float]:
    """Return how much longer the same jobs take here than hosted, in percent.

    None if no job ran on both. Each job has the weight of its runs here, so that a rare job does not decide.
    """
    ours, theirs = _by_name(here), _by_name(hosted)
    own_time = other_time = 0.0
    for name, runs in ours.items():
        own, other = mean(durations(runs)), mean(durations(theirs.get(name, ())))
        if own is not None and other:
            own_time += own * len(runs)
            other_time += other * len(runs)
    return round(100 * (own_time / other_time - 1), 1) if other_time else None


def _by_name(jobs: Iterable[Job]) -> dict[tuple[str, str, str], list[Job]]:
    by_name: dict[tuple[str, str, str], list[Job]] = {}
    for job in jobs:
        by_name.setdefault(_name(job), []).append(job)
    return by_name


def _days(ended: Sequence[Job], period: Period) -> tuple[Day, ...]:
    """Return every day of ``period`` by the host's calendar, with days without jobs."""
    numbers: dict[int, list[Job]] = {}
    for job in ended:
        numbers.setdefault(_day_number(job.completed_at or 0.0, period), []).append(job)
    first, last = _day_number(period.begins_at, period), _day_number(period.ends_at, period)
    return tuple(_day(number, numbers.get(number, ())) for number in range(first, last + 1))


def _day_number(at: float, period: Period) -> int:
    return int((at + period.utc_offset_seconds) // DAY_SECONDS)


def _day(number: int, jobs: Sequence[Job]) -> Day:
    here = [job for job in jobs if job.kind == SELF_HOSTED]
    hosted = [job for job in jobs if job.kind == CLOUD]
    succeeded = sum(job.result == SUCCESS for job in here)
    return Day(
        date=time.strftime("%Y-%m-%d", time.gmtime(number * DAY_SECONDS)),
        succeeded=succeeded,
        failed=len(here) - succeeded,
        hosted=len(hosted),
        mean_seconds=tenth(mean(durations(here))),
        hosted_mean_seconds=tenth(mean(durations(hosted))),
        hit_percent=tenth(summary(here).cache_hit_rate),
    )


def _kinds(ended: Sequence[Job]) -> list[Kind]:
    """Return the jobs that ran here by name, those that took the most time first."""
    theirs = _by_name(job for job in ended if job.kind == CLOUD)
    timed = []
    for name, runs in _by_name(job for job in ended if job.kind == SELF_HOSTED).items():
        sums = summary(runs)
        kind = Kind(
            workflow=name[1],
            job=name[2],
            runs=sums.judged,
            success_percent=tenth(sums.success_rate),
            mean_seconds=tenth(sums.mean_seconds),
            p90_seconds=tenth(sums.p90_seconds),
            hosted_mean_seconds=tenth(mean(durations(theirs.get(name, ())))),
        )
        timed.append((math.fsum(durations(runs)), kind))
    return [kind for _time, kind in sorted(timed, key=lambda pair: -pair[0])]
