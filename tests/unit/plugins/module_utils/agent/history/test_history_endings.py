"""How jobs ended, by root's word: in every order in which it may come beside what the hooks wrote."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.endings import Ending, leave
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.records import Job
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.spool import ingest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError

from tests._support.job_records import NOON, ended, hosted, put, record


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
    """The end of the job that ``record`` begins, as the listener's lines tell it."""
    return Ending(**{"instance": "laptop", "since": NOON - 2, "at": NOON + 61, "result": "failure", **fields})


def write(spool: Path, kind: str) -> None:
    """Write the started, completed or ending record of one job."""
    if kind == "E":
        leave(str(spool.parent), ending())
    else:
        put(spool, record() if kind == "S" else ended(result="success"))


def take_in(history: History, spool: Path, passes: str) -> None:
    """Write the records of each pass and take them in, none of which may be refused."""
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
def test_the_order_in_which_records_are_taken_in_changes_nothing(
    history: History, spool: Path, passes: str
) -> None:
    """Also what was taken in and is there again, since a crash kept it from being removed."""
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
def test_a_job_whose_last_hook_never_ran_ends_all_the_same(
    history: History, spool: Path, passes: str
) -> None:
    take_in(history, spool, passes)
    history.started(record(at=NOON + 100, run_id=8))
    _next, job = history.jobs()
    assert (job.result, job.completed_at, job.duration_seconds) == ("failure", NOON + 61, 61)


@pytest.mark.parametrize("passes", ["CE", "C E"])
def test_a_job_whose_first_hook_was_not_heard_has_its_result(
    history: History, spool: Path, passes: str
) -> None:
    take_in(history, spool, passes)
    (job,) = history.jobs()
    assert (job.result, job.started_at, job.duration_seconds) == ("failure", None, None)


def test_a_job_cannot_say_itself_how_it_ended(history: History, spool: Path) -> None:
    write(spool, "S")
    write(spool, "C")
    ingest(history, str(spool))
    assert [job.result for job in history.jobs()] == [""]


@pytest.mark.parametrize("passes", ["SCE", "SC E", "S E C"])
def test_a_job_cannot_rewrite_one_before_it(history: History, spool: Path, passes: str) -> None:
    """What its own hook told stays, with figures of it or without."""
    take_in(history, spool, passes)
    (before,) = history.jobs()
    put(spool, ended(1, peak_memory_bytes=5), 2)
    ingest(history, str(spool))
    assert before in history.jobs()


def test_the_hook_may_come_after_github_too(history: History) -> None:
    history.started(record())
    history.add_hosted([hosted(hosted=False, runner_name="laptop", run_id=7)])
    assert history.completed(ended())
    assert not history.completed(ended())
    (job,) = history.jobs()
    assert (job.completed_at, job.result, job.duration_seconds) == (NOON + 60, "success", 60)


def test_a_job_under_several_names_ended_in_all_of_them_alike(history: History, spool: Path) -> None:
    write(spool, "S")
    put(spool, record(job="decoy", at=NOON - 1), 2)
    write(spool, "E")
    ingest(history, str(spool))
    assert {(job.job, job.result) for job in history.jobs()} == {("build", "failure"), ("decoy", "failure")}


def test_what_was_thought_lost_is_found(history: History, spool: Path) -> None:
    history.started(record())
    history.started(record(at=NOON + 62, run_id=8))
    write(spool, "E")
    ingest(history, str(spool))
    assert [job.result for job in history.jobs()] == ["", "failure"]


@pytest.mark.parametrize(
    "other",
    [
        {"instance": "other"},
        {"since": NOON + 1},
        {"since": NOON - 100, "at": NOON - 1},
        {"result": ""},
        {"result": "neutral"},
    ],
)
def test_another_ending_says_nothing_about_this_job(
    history: History, spool: Path, other: dict[str, Any]
) -> None:
    history.started(record())
    leave(str(spool.parent), ending(**other))
    found = ingest(history, str(spool))
    (job,) = history.jobs()
    assert (found.count, found.refused, job.running) == (0, 0, True)
    assert waiting(spool) == []


@pytest.mark.parametrize("imported_first", [True, False])
@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("timed_out", "timed_out"),
        ("success", "success"),
        ("a word that the history does not know", "failure"),
    ],
)
def test_githubs_word_wins_whenever_it_comes(
    history: History, spool: Path, word: str, expected: str, imported_first: bool
) -> None:
    told = hosted(
        hosted=False, runner_name="laptop", run_id=7, started_at="2027-01-15T08:00:00Z", result=word
    )
    history.started(record())
    if imported_first:
        assert history.add_hosted([told]) == 0, "it is a job of this host"
    write(spool, "E")
    ingest(history, str(spool))
    history.add_hosted([told])
    assert [job.result for job in history.jobs()] == [expected]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is no JSON object"),
        ("[]", "it is no JSON object"),
        (json.dumps({**ending()._asdict(), "at": None}), "'at' is missing"),
        (json.dumps({**ending()._asdict(), "since": "x"}), "'since' is no number from 0 to 1000000000000000"),
        (json.dumps({**ending()._asdict(), "instance": ""}), "'instance' is missing"),
        (json.dumps({**ending()._asdict(), "at": NOON + 3601}), "it is of a time that has not come"),
    ],
)
def test_what_is_no_ending_is_told_and_removed(history: History, spool: Path, text: str, reason: str) -> None:
    (spool.parent / "results" / "x.json").write_text(text)
    found = ingest(history, str(spool))
    assert (found.count, found.refused, found.reasons) == (0, 1, (f"results/x.json: {reason}.",))
    assert waiting(spool) == []


def test_only_the_newest_wait_when_nobody_takes_them_in(spool: Path) -> None:
    for number in range(1005):
        leave(str(spool.parent), ending(at=NOON + number))
    assert len(waiting(spool)) == 1000


def test_what_is_no_file_is_not_in_the_way(spool: Path) -> None:
    (spool.parent / "results" / "0").mkdir()
    for number in range(1005):
        leave(str(spool.parent), ending(at=NOON + number))
    assert len(waiting(spool)) == 1000


def test_what_cannot_be_written_is_told(spool: Path) -> None:
    path = spool.parent / "results"
    path.rmdir()
    path.write_text("")
    with pytest.raises(CiError, match="Not a directory"):
        leave(str(spool.parent), ending())


def test_without_its_directory_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CiError, match="converge the host"):
        leave(str(tmp_path), ending())


def test_the_fields_of_a_job_are_not_an_endings(history: History, spool: Path) -> None:
    """What a job writes into its own directory under such a name is no record at all."""
    (spool / "laptop").mkdir()
    path = spool / "laptop" / "laptop-1.json"
    path.write_text(json.dumps(ending(result="success")._asdict()))
    history.started(record())
    ingest(history, str(spool))
    jobs: list[Job] = history.jobs()
    assert [job.result for job in jobs] == [""]
