from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from testbed.github import jobs
from testbed.github.clock import Moment
from testbed.github.exchange import RefusedError
from testbed.github.registration import register, remove
from testbed.github.seed import Seed
from testbed.github.state import Job, Runner, Scope, Session, World

START = Moment(datetime(2026, 1, 1, tzinfo=timezone.utc), 100.0)
REPOSITORY = Scope("repos", "Coldaine/ColdVox")


def _later(seconds: float) -> Moment:
    return replace(START, tick=START.tick + seconds)


def _runner(
    world: World, name: str = "a", labels: tuple[str, ...] = ("self-hosted", "Fast"), **extra: bool
) -> Runner:
    described = {"name": name, "group_id": 1, "labels": [{"name": each} for each in labels], **extra}
    runner = register(world, REPOSITORY, described)
    runner.session = Session("s", START.tick)
    return runner


def _job(world: World, *labels: str, repository: str = "Coldaine/ColdVox") -> Job:
    job = {"repository": repository, "name": "j", "runs_on": list(labels), "script": "true"}
    return jobs.queue(world, job, START)


@pytest.fixture
def world() -> World:
    return Seed().world()


@pytest.mark.parametrize(
    ("runs_on", "expected"),
    [(("fast",), True), (("SELF-HOSTED", "fAsT"), True), (("fast", "gpu"), False), ((), True)],
)
def test_a_runner_needs_all_labels(world: World, runs_on: tuple[str, ...], expected: bool) -> None:
    assert jobs.matches(_runner(world), _job(world, *runs_on)) is expected


@pytest.mark.parametrize(
    ("scope", "repository", "expected"),
    [
        (Scope("repos", "Coldaine/ColdVox"), "coldaine/coldvox", True),
        (Scope("repos", "Coldaine/ColdVox"), "Coldaine/Other", False),
        (Scope("orgs", "Coldaine"), "coldaine/Other", True),
        (Scope("orgs", "Coldaine"), "Someone/Other", False),
    ],
)
def test_a_scope_covers_repositories(scope: Scope, repository: str, expected: bool) -> None:
    assert scope.covers(repository) is expected


def test_the_oldest_matching_job_goes_first_and_one_at_a_time(world: World) -> None:
    runner = _runner(world)
    _job(world, "gpu")
    first, second = _job(world, "fast"), _job(world, "fast")
    assert jobs.assign(world, runner, START) is first
    assert jobs.assign(world, runner, START) is None
    jobs.complete(world, first, START, conclusion="success", log="", steps=[])
    assert jobs.assign(world, runner, START) is second


def test_an_offline_runner_gets_nothing(world: World) -> None:
    runner = _runner(world)
    runner.session = None
    _job(world, "fast")
    assert jobs.assign(world, runner, START) is None


def test_a_job_that_is_not_picked_up_goes_to_another_runner(world: World) -> None:
    deaf, other = _runner(world), _runner(world, "b")
    job = _job(world, "fast")
    assert jobs.assign(world, deaf, START) is job
    assert jobs.assign(world, other, START) is None
    other.session = Session("s", START.tick + 61)
    jobs.sweep(world, _later(61))
    assert jobs.assign(world, other, _later(61)) is job
    assert deaf.job_id is None


def test_silence_ends_a_session_and_then_the_job(world: World) -> None:
    runner = _runner(world)
    job = _job(world, "fast")
    jobs.assign(world, runner, START)
    jobs.start(job, START)
    jobs.sweep(world, _later(13))
    assert runner.session is None
    assert job.status == "in_progress"
    jobs.sweep(world, _later(61))
    assert (job.status, job.conclusion) == ("completed", "failure")
    assert "lost communication" in job.log
    assert runner.job_id is None


def test_an_ephemeral_runner_goes_with_its_job(world: World) -> None:
    runner = _runner(world, ephemeral=True)
    job = _job(world, "fast")
    jobs.assign(world, runner, START)
    with pytest.raises(RefusedError, match="currently running a job"):
        remove(world, runner)
    jobs.complete(world, job, START, conclusion="success", log="", steps=[])
    assert not world.runners
