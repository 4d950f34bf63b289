"""Record files on their way into the history: orders, attacks, floods, crashes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history import schema
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.schema import HistoryError
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.spool import MOST_BYTES, ingest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError

from tests._support.job_records import NOON, ended, put, record

NOBODY = 65534


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    directory = tmp_path / "jobs"
    directory.mkdir()
    return directory


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(str(tmp_path / "history.db"), most_days=100_000) as opened:
        yield opened


def left(spool: Path) -> list[str]:
    return sorted(path.name for path in spool.glob("*/*"))


def test_ingest_adds_and_removes_the_hooks_records(history: History, spool: Path) -> None:
    put(spool, record())
    put(spool, ended(30))
    put(spool, record(instance="other", job="lint"))
    ingested = ingest(history, str(spool))
    assert (ingested.count, ingested.refused, ingested.reasons) == (3, 0, ())
    assert left(spool) == []
    assert {(job.instance, job.job, job.duration_seconds) for job in history.jobs()} == {
        ("laptop", "build", 30),
        ("other", "lint", None),
    }
    assert ingest(history, str(spool)).count == 0


def test_ingest_adds_the_start_before_the_end_also_when_the_clock_went_back(
    history: History, spool: Path
) -> None:
    put(spool, record(at=NOON), 1)
    put(spool, ended(at=NOON - 500), 1)  # the clock was set back meanwhile
    put(spool, record(at=NOON - 400, run_id=8), 2)
    put(spool, ended(at=NOON - 300, run_id=8), 2)
    assert ingest(history, str(spool)).count == 4
    assert {job.run_id: (job.duration_seconds, job.result) for job in history.jobs()} == {
        7: (None, ""),
        8: (100, ""),
    }


def test_ingest_without_a_spool_adds_nothing(history: History, tmp_path: Path) -> None:
    assert ingest(history, str(tmp_path / "nowhere")).count == 0


def test_ingest_leaves_a_file_that_is_being_written_until_it_is_abandoned(
    history: History, spool: Path
) -> None:
    path = put(spool, record())
    young, old = path.with_name(".7-1-x.json.abc"), path.with_name("half.tmp")
    future = path.with_name("future")  # a job may set any time
    for half in (young, old, future):
        half.write_text('{"event": "star')
    os.utime(old, (0, 0))
    os.utime(future, (NOON * 3, NOON * 3))
    ingested = ingest(history, str(spool))
    assert (ingested.count, ingested.refused) == (1, 0)
    assert left(spool) == [young.name]


NAME = "7-1-x-1.started.json"
TOO_LARGE = json.dumps(record(note="x" * MOST_BYTES))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "it is not JSON"),
        ('{"event": "started"', "it is not JSON"),
        ("[" * 60_000, "it is not JSON"),
        ("[]", "it is no JSON object"),
        (json.dumps(record(run_id="7")), "'run_id' is no whole number of 0 or more"),
        (json.dumps(record(instance="other")), "it names the instance 'other'"),
        (json.dumps(ended()), "its event 'completed' differs from its name"),
        (TOO_LARGE, "it is larger than 65536 bytes"),
    ],
)
def test_ingest_refuses_and_removes_a_file_that_is_no_record_of_its_instance(
    history: History, spool: Path, content: str, reason: str
) -> None:
    put(spool, record()).write_text(content)
    put(spool, record(run_id=8), 2)
    ingested = ingest(history, str(spool))
    assert (ingested.count, ingested.refused, ingested.reasons) == (1, 1, (f"laptop/{NAME}: {reason}.",))
    assert left(spool) == []


def plant(kind: str, path: Path, outside: Path) -> None:
    outside.write_text(json.dumps(record(job="stolen")))
    if kind == "link":
        path.symlink_to(outside)
    elif kind == "dangling":
        path.symlink_to("/nonexistent")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "empty directory":
        path.mkdir()
    elif kind == "full directory":
        (path / "x").mkdir(parents=True)
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "device", "empty directory", "full directory"])
def test_ingest_neither_follows_nor_waits_for_a_link_or_pipe(
    history: History, spool: Path, tmp_path: Path, kind: str
) -> None:
    path = put(spool, record())
    path.unlink()
    plant(kind, path, tmp_path / "outside")
    ingested = ingest(history, str(spool))
    assert (ingested.count, ingested.refused) == (0, 1)
    assert history.jobs() == []
    assert (tmp_path / "outside").exists()
    assert left(spool) == ([NAME] if kind == "full directory" else [])


@pytest.mark.parametrize("name", ["..", "-x", "a b", "x\ny", "x" * 65])
def test_ingest_ignores_a_directory_of_no_instance(history: History, spool: Path, name: str) -> None:
    if name != "..":
        (spool / name).mkdir()
        (spool / name / NAME).write_text(json.dumps(record(instance=name)))
    assert ingest(history, str(spool)).count == 0


def test_ingest_does_not_follow_a_link_in_the_place_of_an_instance(
    history: History, spool: Path, tmp_path: Path
) -> None:
    put(tmp_path / "elsewhere", record())
    (spool / "laptop").symlink_to(tmp_path / "elsewhere" / "laptop")
    ingested = ingest(history, str(spool))
    assert (ingested.count, len(ingested.reasons)) == (0, 1)
    assert left(tmp_path / "elsewhere") == [NAME]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
def test_ingest_refuses_a_record_of_another_user(history: History, spool: Path) -> None:
    os.chown(put(spool, record()), NOBODY, NOBODY)
    ingested = ingest(history, str(spool))
    assert ingested.reasons == (f"laptop/{NAME}: it belongs to user id {NOBODY}.",)
    os.chown(put(spool, record()), NOBODY, NOBODY)
    os.chown(spool / "laptop", NOBODY, NOBODY)
    assert ingest(history, str(spool)).count == 1, "the directory's owner may write there"


def test_ingest_cleans_names_with_control_characters(history: History, spool: Path) -> None:
    put(spool, record(job="=cmd|' /C calc'!A0\x1b[2J\n🚀" + "x" * 10_000, workflow="\x1b]0;owned\x07"))
    odd = put(spool, record(), 2).with_name("7-1-\x1b[31m\n-9.started.json")
    odd.write_text("x")
    ingested = ingest(history, str(spool))
    assert ingested.count == 2
    assert all(reason.isprintable() for reason in ingested.reasons)
    assert all(job.job.isprintable() and job.workflow.isprintable() for job in history.jobs())
    assert max(len(job.job) for job in history.jobs()) == 200


def test_ingest_returns_at_most_ten_reasons(history: History, spool: Path) -> None:
    for number in range(25):
        put(spool, record(), number).write_text("x")
    ingested = ingest(history, str(spool))
    assert (ingested.refused, len(ingested.reasons)) == (25, 10)


def test_ingest_takes_a_flood_in_parts(
    history: History, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ansible_collections.coldvox.ci.plugins.module_utils.agent.history.spool.MOST_FILES", 10
    )
    for number in range(25):
        put(spool, record(run_id=number))
    assert [ingest(history, str(spool)).count for _ in range(4)] == [10, 10, 5, 0]


def test_ingest_leaves_the_records_while_the_database_is_locked(
    history: History, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(spool, record())
    blocker = sqlite3.connect(history.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.05)
    with History(history.path) as impatient, pytest.raises(HistoryError, match="is locked"):
        ingest(impatient, str(spool))
    assert left(spool) == [NAME]
    blocker.execute("ROLLBACK")
    blocker.close()
    assert ingest(history, str(spool)).count == 1


def test_ingest_adds_the_records_to_a_new_database_after_damage(history: History, spool: Path) -> None:
    put(spool, record())
    history.__exit__(None, None, None)
    with open(history.path, "r+b") as stream:
        stream.seek(4096)  # the table of the jobs and its indexes
        stream.write(b"\xa5" * (4096 * 4))
    with History(history.path, most_days=100_000) as opened:
        assert ingest(opened, str(spool)).count == 1
        assert len(opened.jobs()) == 1
        assert "a new one has begun" in opened.notice
    assert left(spool) == []


FILL = """
import resource, signal, sys
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.spool import ingest
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with History(sys.argv[1], most_days=100000) as history:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    try:
        ingest(history, sys.argv[2])
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_ingest_leaves_the_records_on_a_full_disk(tmp_path: Path, spool: Path) -> None:
    path = str(tmp_path / "full.db")
    for number in range(50):
        put(spool, record(run_id=number))
    printed = subprocess.run(
        [sys.executable, "-c", FILL, path, str(spool)], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert printed.startswith("HistoryError The job history ")
    assert "free space there" in printed
    assert len(left(spool)) == 50
    with History(path, most_days=100_000) as history:
        assert ingest(history, str(spool)).count == 50


KILLED = """
import os, signal, sys
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history import spool
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
left = int(sys.argv[3])
removed = os.unlink
def unlink(*args, **kwargs):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    removed(*args, **kwargs)
with History(sys.argv[1], most_days=100000) as history:
    os.unlink = unlink
    spool.ingest(history, sys.argv[2])
"""


@pytest.mark.parametrize("removed", [0, 1, 5])
def test_ingest_killed_before_the_removal_neither_loses_nor_doubles_a_job(
    tmp_path: Path, spool: Path, removed: int
) -> None:
    path = str(tmp_path / "history.db")
    for number in range(5):
        put(spool, record(run_id=number, at=NOON + number * 10))
        put(spool, ended(run_id=number, at=NOON + number * 10 + 5))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, path, str(spool), str(removed)], timeout=60, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(left(spool)) == 10 - removed
    with History(path, most_days=100_000) as history:
        assert ingest(history, str(spool)).count == 0
        assert [job.duration_seconds for job in history.jobs()] == [5.0] * 5
    assert left(spool) == []


LOOPING = """
import sys
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.spool import ingest
print("ready", flush=True)
while True:
    with History(sys.argv[1], most_days=100000) as history:
        ingest(history, sys.argv[2])
"""


def test_ingest_killed_at_any_time_neither_loses_nor_doubles_a_job(tmp_path: Path, spool: Path) -> None:
    path = str(tmp_path / "history.db")
    for number in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", LOOPING, path, str(spool)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for index in range(20):
            at = NOON + number * 1000 + index * 10
            put(spool, record(run_id=number * 100 + index, at=at))
            put(spool, ended(run_id=number * 100 + index, at=at + 5))
        time.sleep(number * 0.003)
        process.kill()
        process.communicate()
    with History(path, most_days=100_000) as history:
        ingest(history, str(spool))
        jobs = history.jobs()
    assert len(jobs) == 240
    assert len({job.run_id for job in jobs}) == 240
    assert {job.duration_seconds for job in jobs} == {5.0}


def test_ingest_in_several_processes_adds_each_job_once(tmp_path: Path, spool: Path) -> None:
    path = str(tmp_path / "history.db")
    for number in range(200):
        put(spool, record(run_id=number, at=NOON + number))
        put(spool, ended(run_id=number, at=NOON + number + 0.5))
    code = LOOPING.replace("while True:", "for _ in range(3):")
    crowd = [
        subprocess.Popen([sys.executable, "-c", code, path, str(spool)], stdout=subprocess.DEVNULL)
        for _ in range(4)
    ]
    assert [process.wait(120) for process in crowd] == [0] * 4
    with History(path, read_only=True) as history:
        assert len(history.jobs()) == 200
    assert left(spool) == []


def test_ingest_reports_a_spool_that_cannot_be_listed(history: History, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(CiError, match=r"cannot be listed \(Not a directory"):
        ingest(history, str(path))


def test_ingest_refuses_a_number_of_many_digits(history: History, spool: Path) -> None:
    fields: dict[str, Any] = record()
    put(spool, fields).write_text(json.dumps(fields).replace(str(NOON), "9" * 50_000))
    assert ingest(history, str(spool)).refused == 1


@pytest.mark.parametrize("field", ["at", "queued_at"])
def test_ingest_refuses_times_later_than_the_file(history: History, spool: Path, field: str) -> None:
    """A forged record of the next year stayed on top of the history."""
    path = put(spool, {**record(), field: time.time() + 60})
    os.utime(path, (time.time() + 3600, time.time() + 3600))  # a job may set any such time
    added = ingest(history, str(spool))
    assert (added.count, added.refused) == (0, 1)
    assert "its time is later than its file" in added.reasons[0]
    assert not path.exists()


def test_ingest_takes_a_record_of_this_moment(history: History, spool: Path) -> None:
    put(spool, record(at=time.time()))
    assert ingest(history, str(spool)).count == 1
