"""Percentiles, summaries, baselines and regressions of jobs."""

from __future__ import annotations

import math
import statistics as reference
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.statistics import (
    baseline,
    percentile,
    regressions,
    summary,
)
from hypothesis import given
from hypothesis import strategies as st

from tests._support.job_records import NOON, job

HOUR, DAY = 3600.0, 86400.0
durations = st.lists(st.floats(0, 1e6), min_size=1, max_size=40)


def run_of(*seconds: float, **fields: Any) -> list[Any]:
    """Return successes an hour apart that took ``seconds``, the earliest first."""
    return [job(NOON - 10 * DAY + index * HOUR, each, **fields) for index, each in enumerate(seconds)]


@given(durations, st.floats(0.1, 100))
def test_percentile_is_the_nearest_rank(values: list[float], percent: float) -> None:
    rank = percentile(values, percent)
    assert rank in values
    assert sum(value <= rank for value in values) >= len(values) * percent / 100 - 1e-6
    assert sum(value < rank for value in values) < math.ceil(len(values) * percent / 100)


@pytest.mark.parametrize(
    ("percent", "value"), [(0, 1), (1, 1), (50, 5), (51, 6), (90, 9), (90.1, 10), (99, 10), (100, 10)]
)
def test_percentile_of_ten_values(percent: float, value: float) -> None:
    assert percentile(range(1, 11), percent) == value


@given(durations)
def test_summary_agrees_with_the_standard_library(values: list[float]) -> None:
    sums = summary(job(seconds=value) for value in values)
    assert sums.mean_seconds == pytest.approx(reference.fmean(values))
    assert sums.p50_seconds == reference.median_low(values)
    assert (sums.p90_seconds or 0) <= (sums.p99_seconds or 0) <= max(values)


def test_summary_judges_only_results_that_depend_on_the_machine() -> None:
    results = ["success", "success", "failure", "timed_out", "lost", "cancelled", "skipped", ""]
    sums = summary(job(result=result) for result in results)
    assert (sums.total, sums.judged, sums.successes, sums.success_rate) == (8, 5, 2, 40.0)


def test_summary_is_none_where_nothing_is_known() -> None:
    assert summary([]) == (0, 0, 0, None, None, None, None, None, None, 0, 0, None)
    sums = summary([job(seconds=None, started_at=None, queued_at=None)])
    assert (sums.success_rate, sums.mean_seconds) == (100.0, None)


def test_summary_counts_known_queue_times_and_cache_hits() -> None:
    jobs = [
        job(queued_at=NOON - 10, cache_hits=3, cache_misses=1),
        job(queued_at=NOON - 20, cache_hits=4, cache_misses=None),
        job(queued_at=NOON + 5),  # the clock went back in between
        job(queued_at=None),
    ]
    sums = summary(jobs)
    assert sums.mean_queued_seconds == 15
    assert (sums.cache_hits, sums.cache_misses, sums.cache_hit_rate) == (7, 1, 87.5)


@pytest.mark.parametrize(
    ("seconds", "usual"),
    [([], None), ([10, 20], None), ([10, 20, 30], 20), ([10, 20, 30, 40], 20), ([10] * 60 + [99] * 50, 99)],
)
def test_baseline_is_the_median_of_the_latest_fifty(seconds: list[float], usual: float | None) -> None:
    assert baseline(reversed(run_of(*seconds))) == usual


def test_baseline_counts_successes_only() -> None:
    jobs = run_of(10, 20, 30)
    assert baseline([*jobs, *run_of(1, 1, 1, 1, result="failure"), job(seconds=None)]) == 20


@pytest.mark.parametrize(
    ("last", "level", "threshold"),
    [
        ((100, 100, 150), None, None),
        ((100, 100, 150.1), "alert", 150),
        ((300, 300, 100), None, None),
        ((201, 200, 201), "alert", 150),
        ((201, 201, 200), "alert", 150),
        ((201, 201, 201), "roll back", 200),
        ((200, 200, 200), "alert", 150),
    ],
)
def test_regressions_alert_above_half_more_and_roll_back_above_twice_in_three_runs(
    last: tuple[float, ...], level: str | None, threshold: float | None
) -> None:
    worse = regressions(run_of(100, 100, 100, *last), NOON)
    assert [(change.level, change.kind, change.job, change.threshold) for change in worse] == (
        [(level, "duration", "build", threshold)] if level else []
    )


def test_regressions_need_three_runs_before_the_latest_three() -> None:
    assert regressions(run_of(1, 1, 900, 900, 900), NOON) == []
    assert [change.level for change in regressions(run_of(1, 1, 1, 900, 900, 900), NOON)] == ["roll back"]


@pytest.mark.parametrize(
    ("good", "bad", "level"),
    [
        (4, 1, None),
        (79, 21, "roll back"),
        (80, 20, None),
        (3, 1, "roll back"),
        (0, 1, "roll back"),
        (1, 0, None),
    ],
)
def test_regressions_roll_back_below_four_successes_in_five_of_a_day(
    good: int, bad: int, level: str | None
) -> None:
    jobs = [job(NOON - 60, job=str(index)) for index in range(good)]
    jobs += [job(NOON - 60, job=str(index), result="failure") for index in range(bad)]
    worse = regressions(jobs, NOON)
    assert [(change.level, change.kind, change.threshold) for change in worse] == (
        [(level, "success", 80.0)] if level else []
    )


def test_regressions_say_how_many_jobs_failed() -> None:
    jobs = [job(NOON - 60, result="failure"), job(NOON - 60, result="failure")]
    assert regressions(jobs, NOON)[0].text == "all 2 jobs failed in the last 24 hours"
    assert regressions([*jobs, job(NOON - 60), job(NOON - 60)], NOON)[0].text == (
        "50 % of 4 jobs failed in the last 24 hours"
    )


@pytest.mark.parametrize(
    ("completed", "counts"), [(NOON - DAY, False), (NOON - DAY + 1, True), (NOON, True), (NOON + HOUR, True)]
)
def test_regressions_count_the_last_day_by_the_end_of_a_job(completed: float, counts: bool) -> None:
    worse = regressions([job(completed - 60, 60.0, result="failure")], NOON)
    assert bool(worse) is counts


def test_regressions_ignore_hosted_and_cancelled_jobs() -> None:
    jobs = [job(NOON - 60, result="failure", kind="cloud"), job(NOON - 60, result="cancelled")]
    assert regressions(jobs, NOON) == []


def test_regressions_compare_each_name_with_itself() -> None:
    jobs = run_of(10, 10, 10, 10, 10, 10, job="lint") + run_of(900, 900, 900, 900, 900, 900, job="build")
    assert regressions(jobs, NOON) == []
    slower = [*jobs, job(NOON - DAY * 2, 16.0, job="lint")]
    assert [change.job for change in regressions(slower, NOON)] == ["lint"]
