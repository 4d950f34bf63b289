"""Jobs and samples for the tests of the report, made by a fixed rule."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator

from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.jobs import Job
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.curve import Curve
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.figures import Figures, Period, figures
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.goals import Policy

DAY = 86400
NOW = 1_795_000_000.0  # 2026-11-18, a Wednesday, 11:06:40 UTC
NAMES = (("CI", "build"), ("CI", "unit tests"), ("CI", "lint"), ("STT", "integration"), ("Docs", "docs"))
HOSTILE = "<script>alert(1)</script>\"'&amp;\x1b[31m\u202e"


A_JOB = Job(
    kind="self_hosted",
    instance="heavy-1",
    repository="Coldaine/ColdVox",
    workflow="CI",
    job="build",
    run_id=1,
    run_attempt=1,
    started_at=NOW - 700,
    completed_at=NOW - 100,
    result="success",
    duration_seconds=600.0,
    cache_hits=9,
    cache_misses=1,
)


def jobs(count: int, days: int = 30, now: float = NOW) -> list[Job]:
    """Return ``count`` jobs spread over ``days``.

    One in twelve ran hosted, one in thirty failed.
    """
    return [_job(number, now - days * DAY * (number + 0.5) / count) for number in range(count)]


def _job(number: int, ended: float) -> Job:
    workflow, name = NAMES[number % len(NAMES)]
    hosted = number % 12 == 7
    lasted = (180 + 90 * (number % len(NAMES)) + 37 * (number % 11)) * (1.6 if hosted else 1.0)
    return A_JOB._replace(
        run_id=number,
        kind="cloud" if hosted else "self_hosted",
        workflow=workflow,
        job=name,
        result="failure" if number % 30 == 13 else "success",
        started_at=ended - lasted,
        completed_at=ended,
        duration_seconds=lasted,
        cache_hits=None if hosted else 20 + number % 9,
        cache_misses=None if hosted else number % 5,
    )


def rows(days: int, now: float = NOW, every_seconds: int = 60) -> Iterator[list[str]]:
    """Yield samples as the CSV has them; at night the machine sleeps."""
    for number in range(days * DAY // every_seconds):
        at = now - days * DAY + number * every_seconds
        hour = at % DAY / 3600
        if not 6 <= hour < 22:
            continue
        busy = max(0, round(3 + 3 * math.sin(hour / 2.5) + 2 * math.sin(at / DAY) - 1))
        load = 0.3 + busy * 1.05 + (number % 13) / 10
        yield [
            time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)),
            f"{load:.2f}",
            str(6000 + 2400 * busy),
            str(24000 - 2400 * busy),
            str(52 + number * every_seconds // DAY % 30),
            *("0",) * 9,
            str(min(busy, 3)),
            *("unknown", "unknown", "1", "unknown"),
        ]


@functools.cache
def month_curve(days: int) -> Curve:
    """Return the samples of ``days`` as a curve; many tests draw the same one."""
    curve = Curve(NOW - days * DAY, NOW)
    curve.add(rows(days))
    return curve


def a_month(count: int = 400, days: int = 30) -> Figures:
    """Return the figures of a month with ``count`` jobs."""
    period = Period(NOW - days * DAY, NOW)
    return figures("laptop-extra", period, jobs(count, days), month_curve(days), Policy(), 0.02)


def nothing(days: int = 30) -> Figures:
    """Return the figures of a host that nothing is known of."""
    unknown = {"jobs": "there is no history yet", "samples": "the sampler has not run yet"}
    return figures("fresh", Period(NOW - days * DAY, NOW), None, None, Policy(), None, unknown)


def hostile() -> Figures:
    """Return figures whose every name wants to be more than a name."""
    long = "an-unusually-long-job-name-without-any-space-" * 3
    strange = [
        A_JOB._replace(job=HOSTILE, workflow=HOSTILE),
        A_JOB._replace(job=long, workflow=long, kind="self_hosted"),
    ]
    unknown = {HOSTILE: HOSTILE}
    return figures(HOSTILE, Period(NOW - DAY, NOW), strange, None, Policy(currency="<b>"), None, unknown)
