"""Figures of a report against figures calculated by hand, and goals."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.cli.output import plain
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.jobs import Job
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.curve import Curve
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.figures import Figures, Period, figures
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.goals import (
    Policy,
    Totals,
    goals,
    rounded,
)

from tests._support.report_jobs import A_JOB, DAY, NOW, a_month, jobs, nothing, rows

HOSTED = A_JOB._replace(kind="cloud", instance="GitHub Actions 3")
GOOD = Totals(
    jobs_here=100,
    successes_here=95,
    jobs_hosted=5,
    fallbacks=5,
    slower_percent=25.0,
    uptime_percent=99.0,
    hosted_known=True,
    model_seconds=14.9,
)


def figures_of(listed: list[Job], days: int = 2, **policy: Any) -> Figures:
    return figures("host", Period(NOW - days * DAY, NOW), listed, None, Policy(**policy))


def test_goals_are_met_at_their_limits() -> None:
    assert [goal.met for goal in goals(GOOD, Policy())] == [True] * 6


@pytest.mark.parametrize(
    ("place", "change", "value"),
    [
        (0, {"successes_here": 94}, "94 %"),
        (0, {"jobs_here": 100_000, "successes_here": 94_999}, "94.9 %"),
        (1, {"jobs_hosted": 43}, "69.9 %"),
        (2, {"slower_percent": 25.1}, "25.1 % more"),
        (3, {"model_seconds": 15.0}, "15 s"),
        (4, {"uptime_percent": 98.99}, "98.9 %"),
        (5, {"jobs_here": 95}, "5 %"),
    ],
)
def test_goals_just_missed_are_never_rounded_up(place: int, change: dict[str, Any], value: str) -> None:
    goal = goals(GOOD._replace(**change), Policy())[place]
    assert (goal.met, goal.value) == (False, value)


def test_goals_that_are_unknown_are_neither_met_nor_missed() -> None:
    for goal in goals(Totals(), Policy()):
        assert goal.met is None
        assert goal.value


def test_goals_are_those_of_the_policy() -> None:
    strict = goals(GOOD, Policy(success_percent=99.0))[0]
    assert (strict.met, strict.target) == (False, "at least 99 %")


@pytest.mark.parametrize(("value", "said"), [(0.016, "0.016"), (99.99, "99.9"), (100.0, "100"), (0.0, "0")])
def test_rounded_rounds_a_value_down(value: float, said: str) -> None:
    assert rounded(value) == said


def test_figures_bill_every_minute_that_a_job_began() -> None:
    def lasting(*seconds: float | None) -> list[Job]:
        return [A_JOB._replace(duration_seconds=value) for value in seconds]

    report = figures_of([*lasting(1, 60, 60.1, 0, None), HOSTED], price_per_minute=0.5)
    assert (report.saved_minutes, report.saved_money) == (4, 2.0)


def test_figures_count_jobs_that_ended_in_the_period_with_a_result() -> None:
    report = figures_of(
        [
            A_JOB,
            A_JOB._replace(result="timed_out"),
            A_JOB._replace(result="cancelled"),
            A_JOB._replace(result="", completed_at=None),
            A_JOB._replace(completed_at=NOW - 3 * DAY),
            A_JOB._replace(completed_at=NOW + 60),
        ]
    )
    assert (report.totals.jobs_here, report.totals.successes_here) == (2, 1)


def test_figures_count_a_fallback_only_of_a_job_that_runs_here() -> None:
    report = figures_of([A_JOB, HOSTED, HOSTED._replace(job="release"), HOSTED._replace(workflow="Other")])
    assert (report.totals.jobs_hosted, report.totals.fallbacks) == (3, 1)


def test_figures_compare_the_same_jobs_by_their_runs_here() -> None:
    lint, hosted_lint = A_JOB._replace(job="lint"), HOSTED._replace(job="lint")
    report = figures_of(
        [
            *[A_JOB._replace(duration_seconds=100.0)] * 9,
            HOSTED._replace(duration_seconds=200.0),
            lint._replace(duration_seconds=50.0),
            hosted_lint._replace(duration_seconds=10.0),
            HOSTED._replace(job="release", duration_seconds=9000.0),
        ]
    )
    assert report.totals.slower_percent == round(100 * (950 / 1810 - 1), 1)


def test_figures_days_follow_the_hosts_calendar_with_empty_days() -> None:
    late = A_JOB._replace(completed_at=NOW - 12 * 3600)  # 2026-11-17, 23:06:40 UTC
    period = Period(NOW - 2 * DAY, NOW)
    assert [(day.date, day.succeeded) for day in figures("h", period, [late], None, Policy()).days] == [
        ("2026-11-16", 0),
        ("2026-11-17", 1),
        ("2026-11-18", 0),
    ]
    east = figures("h", period._replace(utc_offset_seconds=3600), [late], None, Policy())
    assert [day.succeeded for day in east.days] == [0, 0, 1]


def test_figures_kinds_are_bounded_and_sorted_by_time() -> None:
    report = figures_of(
        [A_JOB._replace(job=f"j{number}", duration_seconds=float(number)) for number in range(50)]
    )
    assert [kind.job for kind in report.kinds[:2]] == ["j49", "j48"]
    assert (len(report.kinds), report.more_kinds) == (40, 10)


@pytest.mark.parametrize("count", [0, 1, 10_000])
def test_figures_of_any_number_of_jobs(count: int) -> None:
    report = figures("host", Period(NOW - 30 * DAY, NOW), jobs(count), None, Policy())
    assert report.totals.jobs_here + report.totals.jobs_hosted == count
    assert len(report.days) == 31
    assert json.loads(json.dumps(plain(report)))["host"] == "host"


def test_figures_json_always_has_the_same_keys() -> None:
    for report in (a_month(5), nothing()):
        assert set(json.loads(json.dumps(plain(report)))) == {
            *("host", "begins_at", "ends_at", "policy", "totals", "goals", "days", "kinds", "more_kinds"),
            *("curve", "cache_hit_percent", "saved_minutes", "saved_money", "unknown"),
        }


def sampled(*moments: str, load: str = "1.0", **options: Any) -> Curve:
    """Return a curve from midnight on Wednesday, 2026-11-18, with samples."""
    curve = Curve(NOW - NOW % DAY, NOW - NOW % DAY + 0.75 * DAY, **options)
    tail = ["8000", "24000", "50", *("0",) * 9, "0", "unknown", "unknown", "1", "unknown"]
    curve.add([f"2026-11-18 {moment}", load, *tail] for moment in moments)
    return curve


def test_curve_uptime_is_the_share_of_business_minutes_with_a_sample() -> None:
    every = [f"{hour:02}:{minute:02}:30" for hour in range(9, 17) for minute in range(60)]
    assert sampled(*every).uptime_percent() == 100.0
    assert sampled(*every[:-48]).uptime_percent() == 90.0
    assert sampled(*every[::2], *every[::2]).uptime_percent() == 50.0
    assert sampled("17:00:00").uptime_percent() is None
    assert sampled().uptime_percent() is None
    assert sampled("14:59:00", utc_offset_seconds=7200).uptime_percent() == 100.0


def test_curve_uptime_ignores_weekends() -> None:
    saturday = NOW - NOW % DAY + 3 * DAY
    curve = Curve(saturday, saturday + DAY)
    curve.add(rows(1, saturday + DAY))
    assert curve.points()
    assert curve.uptime_percent() is None


def test_curve_points_have_mean_peak_and_the_policys_scores() -> None:
    curve = sampled("10:00:00", load="3.0")
    curve.add([["2026-11-18 10:01:00", "9.0", "8000", "24000", "50", *("0",) * 9, "x"]])
    curve.add([["2026-11-18 10:02:00", "9.0", "8000", "24000", "50", *("0",) * 9, "2"]])
    (point,) = [point for point in curve.points() if point.load is not None]
    assert (point.load, point.peak_load, point.memory_percent) == (6.0, 9.0, 25.0)
    assert (point.score, point.lowest_score) == (75.0, 50)
    strict = {"penalties": {"load_1m": [{"above": 2.0, "points": 70}]}}
    (point,) = [point for point in sampled("10:00:00", load="3.0", policy=strict).points() if point.load]
    assert point.lowest_score == 30


ONES = ("1",) * 18


@pytest.mark.parametrize(
    "row",
    [
        [],
        ["timestamp"],
        ["2026-11-18 10:00:00"],
        ["nonsense", *("1",) * 18],
        ["2026-13-99 99:00:00", *("1",) * 18],
    ],
)
def test_curve_leaves_out_a_damaged_row(row: list[str]) -> None:
    curve = sampled()
    curve.add([row])
    assert curve.points() == []


@pytest.mark.parametrize(("days", "stretches"), [(1, 48), (2, 96), (7, 84), (30, 30), (400, 400)])
def test_curve_has_a_bounded_number_of_points(days: int, stretches: int) -> None:
    curve = Curve(NOW - days * DAY, NOW)
    curve.add(rows(1))
    assert len(curve.points()) == stretches
