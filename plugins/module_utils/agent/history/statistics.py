"""What a list of jobs says: rates, times, and whether a job has become slow or fails too often. Pure.

The thresholds are ColdVox's own: alert above the baseline by half, roll back above twice the baseline in
three runs or below 80 % success in a day.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Optional

from ...health.dispatch import SELF_HOSTED
from .records import JUDGED, SUCCESS, Job

DAY_SECONDS = 86400.0
ALERT, ROLL_BACK = "alert", "roll back"
SLOW_FACTOR = 1.5
FAR_TOO_SLOW_FACTOR, FAR_TOO_SLOW_RUNS = 2.0, 3
LEAST_SUCCESS_PERCENT = 80.0
# Fewer runs make no baseline.
BASELINE_RUNS = 3
# A baseline that followed the newest runs would rise with what it is to notice.
_BASELINE_WINDOW = 50


class Summary(NamedTuple):
    """What jobs have in common. Times are in seconds, None without jobs to tell; ``success_rate`` is percent
    of ``judged``, the jobs whose end says something about the machine.
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
    """Something that became worse. ``level`` is ``alert`` or ``roll back``; ``kind`` is ``duration`` (of
    ``job``, in seconds) or ``success`` (of all jobs, in percent); ``text`` says it in one sentence.
    """

    level: str
    kind: str
    job: str
    value: float
    threshold: float
    text: str


def summary(jobs: Iterable[Job]) -> Summary:
    """Return what ``jobs`` have in common; times are those of the judged ones."""
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
    """Return the seconds that ``jobs`` took, of those whose duration is known, in their order."""
    return [job.duration_seconds for job in jobs if job.duration_seconds is not None]


def share(part: float, whole: float) -> Optional[float]:
    """Return ``part`` in percent of ``whole``; None of nothing."""
    return 100 * part / whole if whole else None


def mean(values: Sequence[float]) -> Optional[float]:
    """Return the arithmetic mean; None of nothing."""
    return math.fsum(values) / len(values) if values else None


def percentile(values: Iterable[float], percent: float) -> Optional[float]:
    """Return the smallest of ``values`` that ``percent`` of them do not exceed (nearest rank); None of
    nothing.
    """
    ranked = sorted(values)
    if not ranked:
        return None
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def baseline(jobs: Iterable[Job], before: Optional[Job] = None) -> Optional[float]:
    """Return the seconds that a job usually takes: the median of its successes.

    ``jobs`` are of one name and kind, the latest first; only those that began before ``before`` count, and of
    them the latest 50. None for fewer than 3.
    """
    times = durations(
        job for job in jobs if job.result == SUCCESS and (before is None or job.began < before.began)
    )[:_BASELINE_WINDOW]
    return percentile(times, 50) if len(times) >= BASELINE_RUNS else None


def regressions(jobs: Iterable[Job], now: float) -> list[Regression]:
    """Return what became worse among ``jobs`` of this host by ``now`` (Unix seconds).

    All of them together are judged by how many succeeded in the last day, and then each name, in its order,
    by the duration of its latest success against the baseline of those before the latest three.
    """
    own = sorted((job for job in jobs if job.kind == SELF_HOSTED), key=lambda one: one.began, reverse=True)
    by_name: dict[str, list[Job]] = {}
    for job in own:
        by_name.setdefault(job.job, []).append(job)
    found = [_failing(own, now), *(_slow(name, by_name[name]) for name in sorted(by_name))]
    return [one for one in found if one is not None]


def _slow(name: str, jobs: Sequence[Job]) -> Optional[Regression]:
    """Judge the latest successes of one name, the latest first."""
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
    """Judge the jobs that ended within the last day; also those that a clock put ahead of now."""
    recent = [job for job in jobs if job.result in JUDGED and job.ended > now - DAY_SECONDS]
    rate = share(sum(job.result == SUCCESS for job in recent), len(recent))
    if rate is None or rate >= LEAST_SUCCESS_PERCENT:
        return None
    count = f"all {len(recent)} jobs" if rate == 0 else f"{100 - rate:.0f} % of {len(recent)} jobs"
    text = f"{count} failed in the last 24 hours"
    return Regression(ROLL_BACK, "success", "", rate, LEAST_SUCCESS_PERCENT, text)
