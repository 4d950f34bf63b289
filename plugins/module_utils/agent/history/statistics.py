"""Statistics of jobs: rates, times, and what became slow or fails often. Pure.

The thresholds are ColdVox's own: alert above the baseline by half, roll back above twice the baseline in
three runs or below 80 % success in a day.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Optional

from ...health.dispatch import SELF_HOSTED
from .jobs import JUDGED, SUCCESS, Job

DAY_SECONDS = 86400.0
ALERT, ROLL_BACK = "alert", "roll back"
SLOW_FACTOR = 1.5
FAR_TOO_SLOW_FACTOR, FAR_TOO_SLOW_RUNS = 2.0, 3
LEAST_SUCCESS_PERCENT = 80.0
# Fewer runs give no baseline.
BASELINE_RUNS = 3
# The latest successes count. The runs that are judged are left out, or the baseline would rise with them.
_BASELINE_WINDOW = 50


class Summary(NamedTuple):
    """Sums and means of jobs. Times are in seconds, None without such jobs.

    ``success_rate`` is in percent of ``judged``, the jobs whose result depends on the machine.
    """

    total: int
    judged: int
    successes: int
    success_rate: Optional[float]
    mean_seconds: Optional[float]
    p50_seconds: Optional[float]
    p90_seconds: Optional[float]
    p99_seconds: Optional[float]
    mean_queued_seconds: Optional[float]
    cache_hits: int
    cache_misses: int
    cache_hit_rate: Optional[float]


class Regression(NamedTuple):
    """A value that became worse.

    ``level`` is ``alert`` or ``roll back``. ``kind`` is ``duration`` (of ``job``, in seconds) or ``success``
    (of all jobs, in percent). ``text`` says it in one sentence.
    """

    level: str
    kind: str
    job: str
    value: float
    threshold: float
    text: str


def summary(jobs: Iterable[Job]) -> Summary:
    """Return the summary of ``jobs``; its times are those of the judged jobs."""
    listed = list(jobs)
    judged = [job for job in listed if job.result in JUDGED]
    successes = sum(job.result == SUCCESS for job in judged)
    times = durations(judged)
    queued = [
        job.started_at - job.queued_at
        for job in listed
        if job.started_at is not None and job.queued_at is not None and job.queued_at <= job.started_at
    ]
    hits, misses = sum(job.cache_hits or 0 for job in listed), sum(job.cache_misses or 0 for job in listed)
    return Summary(
        total=len(listed),
        judged=len(judged),
        successes=successes,
        success_rate=share(successes, len(judged)),
        mean_seconds=mean(times),
        p50_seconds=percentile(times, 50),
        p90_seconds=percentile(times, 90),
        p99_seconds=percentile(times, 99),
        mean_queued_seconds=mean(queued),
        cache_hits=hits,
        cache_misses=misses,
        cache_hit_rate=share(hits, hits + misses),
    )


def durations(jobs: Iterable[Job]) -> list[float]:
    """Return the known durations of ``jobs`` in seconds, in their order."""
    return [job.duration_seconds for job in jobs if job.duration_seconds is not None]


def share(part: float, whole: float) -> Optional[float]:
    """Return ``part`` in percent of ``whole``; None if ``whole`` is 0."""
    return 100 * part / whole if whole else None


def mean(values: Sequence[float]) -> Optional[float]:
    """Return the arithmetic mean; None without values."""
    return math.fsum(values) / len(values) if values else None


def percentile(values: Iterable[float], percent: float) -> Optional[float]:
    """Return the smallest value that ``percent`` of the values do not exceed.

    By the nearest rank; None without values.
    """
    ranked = sorted(values)
    if not ranked:
        return None
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def baseline(jobs: Iterable[Job]) -> Optional[float]:
    """Return the usual seconds of a job: the median of its latest 50 successes.

    ``jobs`` are of one name and kind, the latest first. None for fewer than 3 successes.
    """
    times = durations(job for job in jobs if job.result == SUCCESS)[:_BASELINE_WINDOW]
    return percentile(times, 50) if len(times) >= BASELINE_RUNS else None


def regressions(jobs: Iterable[Job], now: float) -> list[Regression]:
    """Return what became worse among ``jobs`` of this host by ``now`` (Unix seconds).

    First the share of all jobs that succeeded in the last day, then per name, in alphabetical order, the
    duration of the latest success against the baseline of the successes before the latest three.
    """
    own = sorted((job for job in jobs if job.kind == SELF_HOSTED), key=lambda job: job.began, reverse=True)
    by_name: dict[str, list[Job]] = {}
    for job in own:
        by_name.setdefault(job.job, []).append(job)
    judged = [_failing(own, now), *(_slow(name, by_name[name]) for name in sorted(by_name))]
    return [regression for regression in judged if regression is not None]


def _slow(name: str, jobs: Sequence[Job]) -> Optional[Regression]:
    """Judge the duration of one name; ``jobs`` are its jobs, the latest first."""
    successes = [job for job in jobs if job.result == SUCCESS and job.duration_seconds is not None]
    latest = successes[:FAR_TOO_SLOW_RUNS]
    usual = baseline(successes[FAR_TOO_SLOW_RUNS:])
    if usual is None:
        return None
    times = durations(latest)
    limit = FAR_TOO_SLOW_FACTOR * usual
    if all(seconds > limit for seconds in times):
        text = f"'{name}' took more than twice its usual {usual:.0f} s in its last {len(times)} runs"
        return Regression(ROLL_BACK, "duration", name, min(times), limit, text)
    limit = SLOW_FACTOR * usual
    if times[0] > limit:
        text = f"'{name}' took {times[0]:.0f} s the last time, usually {usual:.0f} s"
        return Regression(ALERT, "duration", name, times[0], limit, text)
    return None


def _failing(jobs: Iterable[Job], now: float) -> Optional[Regression]:
    """Judge the jobs that ended in the last day or, by a wrong clock, later."""
    recent = [job for job in jobs if job.result in JUDGED and job.ended > now - DAY_SECONDS]
    rate = share(sum(job.result == SUCCESS for job in recent), len(recent))
    if rate is None or rate >= LEAST_SUCCESS_PERCENT:
        return None
    count = f"all {len(recent)} jobs" if rate == 0 else f"{100 - rate:.0f} % of {len(recent)} jobs"
    text = f"{count} failed in the last 24 hours"
    return Regression(ROLL_BACK, "success", "", rate, LEAST_SUCCESS_PERCENT, text)
