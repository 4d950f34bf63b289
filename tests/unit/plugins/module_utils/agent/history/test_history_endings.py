"""Results that root writes, in every order relative to the hooks' records."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.endings import Ending, leave
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.jobs import Job
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.spool import ingest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError

from tests._support.job_records import (
    NOON,
    completed,
    ended,
    hosted,
    put,
    record,
    started,
)


@pytest.fixture(autouse=True)
def _an_hour_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs here are over, whenever this runs."""
    monkeypatch.setattr(time, "time", lambda: NOON + 3600)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(str(tmp_path / "history.db"), most_days=100_000) as opened:
        yield opened


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    for name in ("jobs", "results"):
        (tmp_path / name).mkdir()
    return tmp_path / "jobs"


def ending(**fields: Any) -> Ending:
    """The end of the job that ``record`` begins, as root reads it from the listener."""
    return Ending(**{"instance": "laptop", "since": NOON - 2, "at": NOON + 61, "result": "failure", **fields})


def write(spool: Path, kind: str) -> None:
    """Write the started, completed or ending record of one job."""
    if kind == "E":
        leave(str(spool.parent), ending())
    else:
        put(spool, record() if kind == "S" else ended(result="success"))


def take_in(history: History, spool: Path, passes: str) -> None:
    """Write and ingest the records of each pass; none may be refused."""
    for kinds in passes.split():
        for kind in kinds:
            write(spool, kind)
        assert ingest(history, str(spool)).refused == 0


def waiting(spool: Path) -> list[str]:
    return [path.name for folder in (spool, spool.parent / "results") for path in folder.rglob("*.json")]


@pytest.mark.parametrize(
    "passes",
    ["SCE", "S CE", "SC E", "S C E", "S E C", "SE C", "SE CE", "SCE E", "SCE SCE", "S E S C E C"],
)
def test_ingest_gives_the_same_job_in_every_order_of_records(
    history: History, spool: Path, passes: str
) -> None:
    """Also records that were added before but not removed, as after a crash."""
    take_in(history, spool, passes)
    (job,) = history.jobs()
    assert (job.result, job.started_at, job.completed_at, job.duration_seconds) == (
        "failure",
        NOON,
        NOON + 60,
        60,
    )
    assert waiting(spool) == []


@pytest.mark.parametrize("passes", ["SE", "S E"])
def test_ending_finishes_a_job_whose_last_hook_never_ran(history: History, spool: Path, passes: str) -> None:
    take_in(history, spool, passes)
    started(history, record(at=NOON + 100, run_id=8))
    _next, job = history.jobs()
    assert (job.result, job.completed_at, job.duration_seconds) == ("failure", NOON + 61, 61)


@pytest.mark.parametrize("passes", ["CE", "C E"])
def test_ending_applies_to_a_job_without_a_start_record(history: History, spool: Path, passes: str) -> None:
    take_in(history, spool, passes)
    (job,) = history.jobs()
    assert (job.result, job.started_at, job.duration_seconds) == ("failure", None, None)


def test_ingest_ignores_the_result_in_a_jobs_own_record(history: History, spool: Path) -> None:
    write(spool, "S")
    write(spool, "C")
    ingest(history, str(spool))
    assert [job.result for job in history.jobs()] == [""]


@pytest.mark.parametrize("passes", ["SCE", "SC E", "S E C"])
def test_ingest_keeps_an_earlier_job_that_a_later_record_repeats(
    history: History, spool: Path, passes: str
) -> None:
    """The end that its own hook recorded stays, with or without figures."""
    take_in(history, spool, passes)
    (before,) = history.jobs()
    put(spool, ended(1, peak_memory_bytes=5), 2)
    ingest(history, str(spool))
    assert before in history.jobs()


def test_history_takes_the_hooks_end_after_githubs(history: History) -> None:
    started(history, record())
    history.add_hosted([hosted(hosted=False, runner_name="laptop", run_id=7)])
    assert completed(history, ended())
    assert not completed(history, ended())
    (job,) = history.jobs()
    assert (job.completed_at, job.result, job.duration_seconds) == (NOON + 60, "success", 60)


def test_ending_gives_one_job_one_result(history: History, spool: Path) -> None:
    """A job that recorded 15 others of its time gave the history 15 successes."""
    put(spool, record(), 99)
    for number in range(1, 16):
        put(spool, record(job=f"invented-{number}", at=NOON + number), number)
        put(spool, ended(number + 1, job=f"invented-{number}"), number)
    put(spool, record(job="never ended", at=NOON + 20), 20)
    ingest(history, str(spool))
    for _twice in range(2):
        leave(str(spool.parent), ending(result="success"))
        ingest(history, str(spool))
    started(history, record(at=NOON + 100, run_id=8))
    assert [(job.job, job.result) for job in history.jobs() if job.result] == [("build", "success")]


def test_ending_replaces_the_result_lost(history: History, spool: Path) -> None:
    started(history, record())
    started(history, record(at=NOON + 62, run_id=8))
    write(spool, "E")
    ingest(history, str(spool))
    assert [job.result for job in history.jobs()] == ["", "failure"]


@pytest.mark.parametrize("other", [{"since": NOON + 1}, {"result": ""}, {"result": "neutral"}])
def test_ending_of_another_job_changes_nothing(history: History, spool: Path, other: dict[str, Any]) -> None:
    started(history, record())
    leave(str(spool.parent), ending(**other))
    ingested = ingest(history, str(spool))
    (job,) = history.jobs()
    assert (ingested.count, ingested.refused, job.running) == (0, 0, True)
    assert waiting(spool) == []


@pytest.mark.parametrize("other", [{"instance": "other"}, {"since": NOON - 100, "at": NOON - 90}])
def test_ending_adds_a_job_that_failed_before_its_first_hook(
    history: History, spool: Path, other: dict[str, Any]
) -> None:
    """nomadkaraoke/karaoke-gen issue 103: each job fails, and the history shows only earlier successes."""
    started(history, record())
    failed = ending(job="Rust build\x1b (stable)", **other)
    for _twice in range(2):
        leave(str(spool.parent), failed)
        ingested = ingest(history, str(spool))
        assert ingested.refused == 0
    job = next(job for job in history.jobs() if not job.running)
    assert (job.job, job.result, job.kind) == ("Rust build\ufffd (stable)", "failure", "self_hosted")
    assert (job.instance, job.started_at, job.completed_at) == (failed.instance, failed.since, failed.at)
    assert len(history.jobs()) == 2
    assert [sums.total_runs - sums.successful_runs for sums in history.summaries()] == [1]


def test_endings_of_jobs_one_after_another_are_jobs_of_their_own(history: History, spool: Path) -> None:
    for number in range(4):
        leave(str(spool.parent), ending(since=NOON + 4 * number, at=NOON + 4 * number + 1, job="build"))
    ingest(history, str(spool))
    assert [job.result for job in history.jobs()] == ["failure"] * 4


def test_add_hosted_completes_a_job_that_only_its_listener_reported(history: History, spool: Path) -> None:
    leave(str(spool.parent), ending(since=NOON, at=NOON + 1, job="build"))
    ingest(history, str(spool))
    row = hosted(
        hosted=False,
        runner_name="laptop",
        repository="o/r",
        run_id=7,
        started_at="2026-01-15T08:00:00Z",
        result="failure",
    )
    assert history.add_hosted([row]) == 0
    (job,) = history.jobs()
    assert (job.run_id, job.repository) == (7, "o/r")
    assert history.add_hosted([row]) == 0


@pytest.mark.parametrize("imported_first", [True, False])
@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("timed_out", "timed_out"),
        ("success", "success"),
        ("a result that the history does not know", "failure"),
    ],
)
def test_add_hosted_result_replaces_an_ending_in_either_order(
    history: History, spool: Path, result: str, expected: str, imported_first: bool
) -> None:
    row = hosted(
        hosted=False, runner_name="laptop", run_id=7, started_at="2026-01-15T08:00:00Z", result=result
    )
    started(history, record())
    if imported_first:
        assert history.add_hosted([row]) == 0, "it is a job of this host"
    write(spool, "E")
    ingest(history, str(spool))
    history.add_hosted([row])
    assert [job.result for job in history.jobs()] == [expected]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is no JSON object"),
        ("[]", "it is no JSON object"),
        (json.dumps({**ending()._asdict(), "at": None}), "'at' is missing"),
        (json.dumps({**ending()._asdict(), "since": "x"}), "'since' is no number from 0 to 1000000000000000"),
        (json.dumps({**ending()._asdict(), "instance": ""}), "'instance' is missing"),
        (json.dumps({**ending()._asdict(), "at": NOON + 3601}), "its time is in the future"),
    ],
)
def test_ingest_refuses_and_removes_a_file_that_is_no_ending(
    history: History, spool: Path, text: str, reason: str
) -> None:
    (spool.parent / "results" / "x.json").write_text(text)
    ingested = ingest(history, str(spool))
    assert (ingested.count, ingested.refused, ingested.reasons) == (0, 1, (f"results/x.json: {reason}.",))
    assert waiting(spool) == []


def test_leave_keeps_only_the_newest_endings(spool: Path) -> None:
    for number in range(1005):
        leave(str(spool.parent), ending(at=NOON + number))
    assert len(waiting(spool)) == 1000


def test_leave_ignores_a_directory_among_the_endings(spool: Path) -> None:
    (spool.parent / "results" / "0").mkdir()
    for number in range(1005):
        leave(str(spool.parent), ending(at=NOON + number))
    assert len(waiting(spool)) == 1000


def test_leave_reports_an_error_of_the_directory(spool: Path) -> None:
    path = spool.parent / "results"
    path.rmdir()
    path.write_text("")
    with pytest.raises(CiError, match="Not a directory"):
        leave(str(spool.parent), ending())


def test_leave_without_its_directory_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CiError, match="converge the host"):
        leave(str(tmp_path), ending())


def test_ingest_takes_no_ending_from_a_jobs_own_directory(history: History, spool: Path) -> None:
    """A file of an ending in the job's own directory is no record."""
    (spool / "laptop").mkdir()
    path = spool / "laptop" / "laptop-1.json"
    path.write_text(json.dumps(ending(result="success")._asdict()))
    started(history, record())
    ingest(history, str(spool))
    jobs: list[Job] = history.jobs()
    assert [job.result for job in jobs] == [""]
