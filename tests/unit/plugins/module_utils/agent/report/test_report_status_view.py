"""The status of a host, and which of its facts need a person."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.cli.output import plain
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.jobs import Job
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.facts import (
    Cache,
    Disk,
    Facts,
    Healing,
    Health,
    Instance,
    Reason,
    Sample,
    Timer,
)
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.status_view import View, view
from ansible_collections.coldvox.ci.plugins.module_utils.store.describe import ActiveDownload

from tests._support.report_jobs import A_JOB, NOW

MIDNIGHT = NOW - 11 * 3600
HEAVY = Instance("heavy-1", "coldvox-runner@heavy-1.service", "active", listening=True, busy=False)
LIGHT = HEAVY._replace(name="light-1", unit="coldvox-runner@light-1.service")
HEALTH = Health(
    90, "healthy", "use-self-hosted", NOW - 20, NOW + 280, (Reason(10, "running jobs: 2, above 1"),)
)
DISK = Disk("/var/lib/actions-runner", 200_000_000_000, 80_000_000_000, 60.0)
FLIGHT = ActiveDownload("big", "download", 450, 1800, 50, 27.0, 1, True, ("small", "tiny"), 5)
FAILED = A_JOB._replace(result="failure")
TIMERS = [
    Timer("nightly", None, "15 3 * * *"),
    Timer("late", NOW + 9000),
    Timer("soon", NOW + 60),
    Timer("each minute", None),
]
FIT = Facts(
    host="laptop-extra",
    now=NOW,
    midnight=MIDNIGHT,
    instances=[HEAVY, LIGHT],
    jobs=[A_JOB],
    health=HEALTH,
    sample=Sample(NOW - 4, load=1.5, memory_percent=40.0, models_available=True),
    caches=[Cache("small", "model", 40), Cache("big", "model", 2700)],
    downloads=[FLIGHT],
    disks=[DISK],
    timers=[
        Timer("nightly", None, "15 3 * * *"),
        Timer("late", NOW + 9000),
        Timer("soon", NOW + 60),
        Timer("?", None),
    ],
    healings=[Healing(NOW - 3600, "light-1: restart, because it was deaf")],
)


def test_view_of_a_fit_host_has_no_needs() -> None:
    seen = view(FIT)
    assert (seen.level, seen.exit_code, seen.needs) == ("ok", 0, ())


@pytest.mark.parametrize(
    ("change", "level", "said"),
    [
        ({"instances": [HEAVY._replace(state="failed"), LIGHT]}, "critical", "heavy-1: its unit is failed"),
        ({"instances": [HEAVY._replace(state="inactive"), LIGHT]}, "critical", "its unit is inactive"),
        (
            {"instances": [HEAVY._replace(state="inactive", drained=True, registered=False), LIGHT]},
            "critical",
            "heavy-1: it was never registered",
        ),
        ({"instances": [HEAVY._replace(state="failed")]}, "critical", "no runner of this machine runs"),
        ({"instances": [HEAVY._replace(listening=False), LIGHT]}, "attention", "its listener does not"),
        ({"health": HEALTH._replace(verdict="degraded", score=60)}, "attention", "score is 60: degraded"),
        ({"health": HEALTH._replace(verdict="unhealthy", score=30)}, "critical", "score is 30: unhealthy"),
        ({"health": HEALTH._replace(expires_at=NOW - 120)}, "attention", "expired 2 min ago"),
        ({"sample": Sample(NOW - 301)}, "attention", "the last sample is 5 min 1 s old"),
        ({"sample": Sample(NOW, models_available=False)}, "attention", "models are missing"),
        ({"jobs": [FAILED] * 3}, "critical", "all 3 jobs of the last 24 hours failed"),
        ({"jobs": [FAILED] * 2 + [A_JOB] * 5}, "attention", "2 of 7 jobs of the last 24 hours failed"),
        ({"slower": ["'build' took 900 s the last time"]}, "attention", "'build' took 900 s"),
        ({"disks": [DISK._replace(used_percent=80.1)]}, "attention", "is 80 % full"),
        ({"disks": [DISK._replace(used_percent=90.1)]}, "critical", "is 90 % full"),
        ({"downloads": [FLIGHT._replace(alive=False)]}, "attention", "big: its download was interrupted"),
        ({"failed_units": ["coldvox-ci-health.service"]}, "attention", "coldvox-ci-health.service failed"),
        ({"left_over": ["light-1: it waits"]}, "attention", "light-1: it waits"),
        (
            {"left_over": ["light-1: GitHub has deleted it"], "out_of_service": ["light-1"]},
            "critical",
            "light-1: GitHub has deleted it",
        ),
        ({"slower": ["a", "b", "c", "d", "e"]}, "attention", "5 jobs took much longer than usual"),
        ({"maintained_at": NOW - 5 * 86400}, "attention", "maintenance did not come for 5 d"),
        ({"lost_store": "/mnt/store"}, "critical", "the store /mnt/store is not there"),
    ],
)
def test_view_needs_say_what_to_do(change: dict[str, Any], level: str, said: str) -> None:
    seen = view(FIT._replace(**change))
    (need,) = seen.needs
    assert (seen.level, need.level) == (level, level)
    assert seen.exit_code == {"attention": 1, "critical": 2}[level]
    assert said in need.what
    assert need.todo


@pytest.mark.parametrize(
    "change",
    [
        {"instances": [HEAVY._replace(state="inactive", drained=True), LIGHT]},
        {"instances": [HEAVY._replace(listening=None, busy=None), LIGHT]},
        {"instances": [HEAVY._replace(state="activating", listening=False), LIGHT]},
        {"instances": []},
        {"health": HEALTH._replace(expires_at=NOW)},
        {"sample": Sample(NOW - 300, models_available=None)},
        {"sample": Sample(NOW + 50)},
        {"jobs": [FAILED] * 2},
        {"jobs": [FAILED] * 9, "acknowledged_at": NOW},
        {"instances": [HEAVY._replace(busy=True, registered=False), LIGHT]},
        {"jobs": [FAILED] + [A_JOB] * 4},
        {"jobs": [FAILED._replace(kind="cloud")] * 9},
        {"jobs": [FAILED._replace(result="cancelled")] * 9},
        {"disks": [DISK._replace(used_percent=80.0)]},
    ],
)
def test_view_needs_ignore_facts_within_the_limits(change: dict[str, Any]) -> None:
    assert view(FIT._replace(**change)).needs == ()


def test_view_needs_put_the_critical_first() -> None:
    seen = view(FIT._replace(slower=["slow"], disks=[DISK._replace(used_percent=99.0)]))
    assert [need.level for need in seen.needs] == ["critical", "attention"]


def test_view_needs_put_an_outage_before_everything_else() -> None:
    """What takes no jobs comes first, however many jobs were slow."""
    seen = view(
        FIT._replace(
            jobs=[FAILED] * 9,
            slower=["one", "two"],
            failed_units=["coldvox-ci-health.service"],
            disks=[DISK._replace(used_percent=99.0)],
            left_over=["light-1: GitHub has deleted its registration"],
            out_of_service=["light-1"],
        )
    )
    assert seen.needs[0].what == "runner light-1: GitHub has deleted its registration"
    assert [need.what for need in seen.needs][-2:] == ["one", "two"]
    assert [(runner.name, runner.state) for runner in seen.runners or ()] == [
        ("heavy-1", "idle"),
        ("light-1", "down"),
    ]


def test_view_needs_do_not_repeat_what_the_self_healing_reports() -> None:
    deaf = HEAVY._replace(listening=False)
    seen = view(FIT._replace(instances=[deaf, LIGHT], left_over=["heavy-1: it has no registration"]))
    assert [need.what for need in seen.needs] == ["runner heavy-1: it has no registration"]


RUNNING = A_JOB._replace(result="", completed_at=None, duration_seconds=None, started_at=NOW - 90)
CUT_OFF = RUNNING._replace(started_at=1.0, job="lost")


@pytest.mark.parametrize(
    ("instance", "jobs", "expected"),
    [
        (HEAVY, [], ("idle", None, None)),
        (HEAVY._replace(busy=True, busy_since=NOW - 60), [RUNNING], ("busy", "build", 90)),
        (HEAVY._replace(busy=True, busy_since=NOW - 60), [], ("busy", None, 60)),
        (HEAVY._replace(busy=True), [RUNNING._replace(instance="light-1")], ("busy", None, None)),
        (HEAVY._replace(busy=True), [CUT_OFF, RUNNING], ("busy", "build", 90)),
        (HEAVY._replace(busy=False), [RUNNING], ("idle", None, None)),
        (HEAVY._replace(state="failed"), [RUNNING], ("down", None, None)),
        (HEAVY._replace(state="inactive", drained=True), [], ("drained", None, None)),
        (HEAVY._replace(state="inactive", drained=True, registered=False), [], ("down", None, None)),
        (HEAVY._replace(listening=False), [], ("down", None, None)),
        (HEAVY._replace(state="activating", listening=False), [], ("idle", None, None)),
        (HEAVY._replace(busy=None), [], ("unknown", None, None)),
        (HEAVY._replace(state=""), [], ("unknown", None, None)),
    ],
)
def test_view_runner_has_a_state_and_a_job(
    instance: Instance, jobs: list[Job], expected: tuple[Any, ...]
) -> None:
    (runner,) = view(FIT._replace(instances=[instance], jobs=jobs)).runners or ()
    assert (runner.state, runner.job, runner.seconds) == expected


def test_view_today_begins_at_midnight() -> None:
    yesterday = A_JOB._replace(completed_at=MIDNIGHT - 1, result="failure")
    today = view(FIT._replace(jobs=[A_JOB, A_JOB, FAILED, yesterday, RUNNING])).today
    assert today is not None
    assert today == (3, 2, 66.7, 600.0, 0)


def test_view_today_counts_unknown_results_apart() -> None:
    """The hooks get no result from the runner; an import from GitHub adds it."""
    today = view(FIT._replace(jobs=[A_JOB, A_JOB._replace(result=""), RUNNING])).today
    assert today is not None
    assert (today.jobs, today.successes, today.untold) == (1, 1, 1)


def test_view_sorts_caches_and_timers() -> None:
    seen = view(FIT)
    assert [cache.name for cache in seen.caches or ()] == ["big", "small"]
    assert (seen.cache_bytes, seen.cache_hit_percent) == (2740, 90.0)
    assert [(timer.name, timer.seconds) for timer in seen.coming or ()] == [
        ("soon", 60),
        ("late", 9000),
        ("nightly", None),
    ]
    assert [healing.seconds for healing in seen.healed or ()] == [3600]


def test_view_without_facts_needs_no_person_and_says_why() -> None:
    seen = view(Facts("fresh", NOW, MIDNIGHT, unknown={"jobs": "there is no history"}))
    assert (seen.level, seen.exit_code) == ("ok", 0)
    assert (seen.runners, seen.today, seen.health, seen.caches, seen.coming, seen.healed) == (None,) * 6
    assert seen.unknown == {"jobs": "there is no history"}


def test_view_json_always_has_the_same_keys() -> None:
    """Programs depend on the keys: a change here is a change of the interface."""
    for facts in (FIT, Facts("fresh", NOW, MIDNIGHT)):
        shown = json.loads(json.dumps(plain(view(facts))))
        assert tuple(shown) == View._fields
        assert set(shown) == {
            *("host", "at", "level", "exit_code", "needs", "runners", "today", "health", "load"),
            *("memory_percent", "caches", "cache_bytes", "cache_hit_percent", "downloads", "disks"),
            *("coming", "healed", "converged_at", "maintained_at", "unknown"),
        }
    shown = plain(view(FIT._replace(disks=[DISK._replace(used_percent=99.0)])))
    assert shown["at"] == "2026-11-18T11:06:40Z"
    assert set(shown["needs"][0]) == {"level", "what", "todo"}
    assert set(shown["runners"][0]) == {
        *("name", "state", "job", "workflow", "repository", "since", "seconds", "version"),
    }
    assert set(shown["today"]) == {"jobs", "successes", "success_percent", "mean_seconds", "untold"}
    assert shown["health"]["reasons"] == [{"points": 10, "what": "running jobs: 2, above 1"}]
    assert set(shown["disks"][0]) == {"path", "total_bytes", "free_bytes", "used_percent"}
