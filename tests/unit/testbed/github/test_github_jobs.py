from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from testbed.github import jobs
from testbed.github.clock import Moment
from testbed.github.exchange import RefusedError
from testbed.github.registration import register, remove
from testbed.github.seed import seeded_state
from testbed.github.state import GitHubState, Job, Runner, Scope, Session

START = Moment(datetime(2026, 1, 1, tzinfo=timezone.utc), 100.0)
REPOSITORY = Scope("repos", "Coldaine/ColdVox")


def _later(seconds: float) -> Moment:
    return replace(START, tick=START.tick + seconds)


def _runner(
    state: GitHubState, name: str = "a", labels: tuple[str, ...] = ("self-hosted", "Fast"), **extra: bool
) -> Runner:
    described = {"name": name, "group_id": 1, "labels": [{"name": each} for each in labels], **extra}
    runner = register(state, REPOSITORY, described)
    runner.session = Session("s", START.tick)
    return runner


def _job(state: GitHubState, *labels: str, repository: str = "Coldaine/ColdVox") -> Job:
    job = {"repository": repository, "name": "j", "runs_on": list(labels), "script": "true"}
    return jobs.queue(state, job, START)


@pytest.fixture
def state() -> GitHubState:
    return seeded_state()


@pytest.mark.parametrize(
    ("runs_on", "expected"),
    [(("fast",), True), (("SELF-HOSTED", "fAsT"), True), (("fast", "gpu"), False), ((), True)],
)
def test_matches_requires_all_labels(state: GitHubState, runs_on: tuple[str, ...], expected: bool) -> None:
    assert jobs.matches(_runner(state), _job(state, *runs_on)) is expected


@pytest.mark.parametrize(
    ("scope", "repository", "expected"),
    [
        (Scope("repos", "Coldaine/ColdVox"), "coldaine/coldvox", True),
        (Scope("repos", "Coldaine/ColdVox"), "Coldaine/Other", False),
        (Scope("orgs", "Coldaine"), "coldaine/Other", True),
        (Scope("orgs", "Coldaine"), "Someone/Other", False),
    ],
)
def test_scope_covers_its_repositories(scope: Scope, repository: str, expected: bool) -> None:
    assert scope.covers(repository) is expected


def test_assign_gives_the_oldest_matching_job_and_only_one(state: GitHubState) -> None:
    runner = _runner(state)
    _job(state, "gpu")
    first, second = _job(state, "fast"), _job(state, "fast")
    assert jobs.assign(state, runner, START) is first
    assert jobs.assign(state, runner, START) is None
    jobs.complete(state, first, START, conclusion="success", log="", steps=[])
    assert jobs.assign(state, runner, START) is second


def test_assign_gives_nothing_to_an_offline_runner(state: GitHubState) -> None:
    runner = _runner(state)
    runner.session = None
    _job(state, "fast")
    assert jobs.assign(state, runner, START) is None


def test_sweep_gives_a_job_that_was_not_started_to_another_runner(state: GitHubState) -> None:
    deaf, other = _runner(state), _runner(state, "b")
    job = _job(state, "fast")
    assert jobs.assign(state, deaf, START) is job
    assert jobs.assign(state, other, START) is None
    other.session = Session("s", START.tick + 61)
    jobs.sweep(state, _later(61))
    assert jobs.assign(state, other, _later(61)) is job
    assert deaf.job_id is None


def test_sweep_ends_a_silent_session_and_then_its_job(state: GitHubState) -> None:
    runner = _runner(state)
    job = _job(state, "fast")
    jobs.assign(state, runner, START)
    jobs.start(job, START)
    jobs.sweep(state, _later(13))
    assert runner.session is None
    assert job.status == "in_progress"
    jobs.sweep(state, _later(61))
    assert (job.status, job.conclusion) == ("completed", "failure")
    assert "lost communication" in job.log
    assert runner.job_id is None


def test_complete_deletes_an_ephemeral_runner(state: GitHubState) -> None:
    runner = _runner(state, ephemeral=True)
    job = _job(state, "fast")
    jobs.assign(state, runner, START)
    with pytest.raises(RefusedError, match="currently running a job"):
        remove(state, runner)
    jobs.complete(state, job, START, conclusion="success", log="", steps=[])
    assert not state.runners
