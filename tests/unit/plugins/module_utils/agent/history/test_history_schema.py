"""The history's database: old versions, damage, many writers, full disks."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history import schema
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.jobs import checked
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.schema import (
    DamagedError,
    HistoryError,
)
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.health.dispatch import JobSums

from tests._support.job_records import NOON, record, started

NOBODY = 65534
HOUR = 3600.0


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "history.db")


def stop_checkpoints(path: str) -> sqlite3.Connection:
    """Hold the database open, so that the files next to it stay."""
    connection = sqlite3.connect(path)
    connection.execute("SELECT COUNT(*) FROM jobs").fetchone()
    return connection


def test_history_migrates_an_older_database_with_its_jobs(path: str) -> None:
    old = sqlite3.connect(path)
    for statement in schema.STEPS[0]:
        old.execute(statement)
    old.execute("PRAGMA user_version = 1")
    old.execute(
        "INSERT INTO jobs (kind, instance, repository, workflow, job, run_id, run_attempt, job_class, "
        "started_at, result, began) VALUES ('self_hosted', 'laptop', '', '', 'old', 3, 1, '', ?, '', ?)",
        (NOON, NOON),
    )
    old.commit()
    old.close()
    with History(path, read_only=True) as reader:
        assert reader.jobs() == []  # a reader cannot migrate it
    with History(path) as history:
        assert [job.job for job in history.jobs()] == ["old"]
        assert history.summaries() == []
        history.add_sums([JobSums("old", "cloud", 1, 1, 1.0, 1)])
    with History(path, read_only=True) as reader:
        assert len(reader.jobs()) == len(reader.summaries()) == 1


@pytest.mark.parametrize("read_only", [False, True])
def test_history_refuses_a_newer_database_and_leaves_it(path: str, read_only: bool) -> None:
    with History(path):
        pass
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with (
        pytest.raises(HistoryError, match="is of version 99, and this program knows"),
        History(path, read_only),
    ):
        pass
    assert [name for name in os.listdir(Path(path).parent) if "corrupt" in name] == []


def damage(path: str, start: int) -> None:
    """Overwrite the file from ``start`` to its end, as a failing disk does."""
    size = os.path.getsize(path)
    with open(path, "r+b") as stream:
        stream.seek(start)
        stream.write(b"\xa5" * (size - start))


def forget_the_check(path: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE notes SET value = 'another boot'")
    connection.close()


def filled(path: str, count: int = 500) -> None:
    with History(path, most_days=100_000) as history:
        history.add([checked(record(run_id=n, at=NOON + n)) for n in range(count)])


@pytest.mark.parametrize("content", [b"no database, but long enough to be read as one" * 50, None])
def test_history_sets_a_damaged_database_aside_and_says_so_once(path: str, content: bytes | None) -> None:
    if content is None:
        filled(path)
        forget_the_check(path)
        damage(path, 4096)
    else:
        Path(path).write_bytes(content)
    with pytest.raises(DamagedError, match="is damaged"), History(path, read_only=True) as reader:
        reader.jobs()
    before = Path(path).read_bytes()
    with History(path) as history:
        (kept,) = Path(path).parent.glob("history.db.corrupt-????????T??????Z")
        assert (
            history.notice
            == f"The job history {path} was damaged; it is kept as {kept}, and a new one has begun."
        )
        assert kept.read_bytes() == before
        assert started(history, record())
    with History(path) as history:
        assert history.notice == ""
        assert len(history.jobs()) == 1


def test_history_sets_aside_damage_that_a_query_meets(path: str) -> None:
    filled(path)
    damage(path, 40960)  # the check of this boot has been made
    with History(path) as history:
        with pytest.raises(DamagedError):
            history.jobs()
        assert "a new one has begun" in history.notice
        assert started(history, record())
        assert len(history.jobs()) == 1


def test_set_aside_keeps_only_the_newest_damaged_database_before(path: str) -> None:
    for year in (2001, 2002, 2003):
        for ending in ("", "-wal"):
            Path(f"{path}.corrupt-{year}0101T000000Z{ending}").write_text("x")
    Path(path).write_bytes(b"x" * 4096)
    with History(path):
        pass
    kept = sorted(entry.name for entry in Path(path).parent.glob("*corrupt*"))
    assert len(kept) == 3
    assert kept[:2] == ["history.db.corrupt-20030101T000000Z", "history.db.corrupt-20030101T000000Z-wal"]


OPENING = """
import sys
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.jobs import checked
print("ready", flush=True)
sys.stdin.readline()
with History(sys.argv[1]) as history:
    event = {"event": "started", "instance": sys.argv[2], "job": "x", "run_id": 1, "at": 1.8e9}
    history.add([checked(event)])
    print(bool(history.notice))
"""


def test_set_aside_happens_once_when_several_processes_meet_damage(path: str) -> None:
    Path(path).write_bytes(b"x" * 8192)
    crowd = released(spawn(OPENING, path, str(number)) for number in range(6))
    noticed = [process.communicate(timeout=120)[0].strip() for process in crowd]
    assert sorted(noticed) == ["False"] * 5 + ["True"]
    assert len(list(Path(path).parent.glob("*.corrupt-*Z"))) == 1
    with History(path, read_only=True) as history:
        assert len(history.jobs()) == 6


def spawn(code: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def released(processes: Iterable[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    """Start all at once, after each has done its imports."""
    crowd = list(processes)
    for process in crowd:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in crowd:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return crowd


WRITING = """
import sys
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.jobs import checked
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    at = 1.8e9 + number
    with History(sys.argv[1], most_days=100000) as history:
        event = {"event": "started", "instance": sys.argv[2], "job": "x", "run_id": number, "at": at}
        history.add([checked(event)])
        end = {**event, "event": "completed", "at": at + 0.5, "result": "success"}
        history.add([checked(end)])
"""


def test_history_with_eight_writers_loses_no_job(path: str) -> None:
    writers = released(spawn(WRITING, path, f"runner-{number}") for number in range(8))
    assert [writer.wait(240) for writer in writers] == [0] * 8
    with History(path, read_only=True) as history:
        jobs = history.jobs()
    assert len(jobs) == 320
    assert {job.duration_seconds for job in jobs} == {0.5}


def test_history_reports_a_locked_database_and_changes_nothing(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.05)
    filled(path, 1)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with History(path) as history:
        assert len(history.jobs()) == 1, "a reader has waited for a writer"
        with pytest.raises(HistoryError, match=r"history\.db cannot be used \(database is locked\): another"):
            started(history, record(run_id=2000))
        blocker.execute("ROLLBACK")
        assert started(history, record(run_id=2000))
    blocker.close()


FILLING = """
import resource, signal, sys
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.jobs import checked
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
event = {"event": "started", "instance": "a", "job": "x" * 200, "at": 1.8e9}
with History(sys.argv[1], most_days=100000) as history:
    limit = int(sys.argv[2])
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        for batch in range(1000):
            jobs = [{**event, "run_id": batch * 100 + number} for number in range(100)]
            history.add(map(checked, jobs))
            print(batch, flush=True)
    except CiError as error:
        print(error)
"""


def check_the_disk_was_full(path: str, printed: str) -> None:
    """Check the message and that only whole batches are in the database."""
    *batches, said = printed.splitlines()
    assert "history.db cannot be used (" in said
    assert "free space there" in said
    with History(path, read_only=True) as history:
        assert len(history.jobs(limit=100_000)) == 100 * len(batches), "half a batch is there"


def test_history_file_that_may_not_grow_keeps_its_jobs(path: str) -> None:
    done = spawn(FILLING, path, "1500000").communicate(timeout=120)[0]
    check_the_disk_was_full(path, done)
    with History(path, most_days=100_000) as history:
        assert started(history, record(instance="later"))


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system can be mounted by root only")
def test_history_on_a_full_disk_keeps_its_jobs(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        path = str(disk / "history.db")
        check_the_disk_was_full(path, spawn(FILLING, path, "0").communicate(timeout=120)[0])
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_history_without_a_database_is_empty_for_a_reader_and_creates_no_file(path: str) -> None:
    with History(path, read_only=True) as history:
        assert (history.jobs(), history.summaries()) == ([], [])
        with pytest.raises(CiError, match="open for reading only"):
            started(history, record())
    assert not os.path.exists(path)


def test_history_reports_a_missing_directory(tmp_path: Path) -> None:
    with (
        pytest.raises(HistoryError, match=r"cannot be opened \(No such file"),
        History(str(tmp_path / "a/b")),
    ):
        pass


READING = """
import os, sys
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
os.setgid(65534), os.setuid(65534)
with History(sys.argv[1], read_only=True) as history:
    print(len(history.jobs()))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("writer", [False, True], ids=["at rest", "while it is written"])
def test_history_is_readable_by_another_user(reachable: Path, writer: bool) -> None:
    path = str(reachable / "history.db")
    filled(path, 3)
    held = stop_checkpoints(path) if writer else None
    if held:
        with History(path, most_days=100_000) as history:
            started(history, record(run_id=7000))
    assert int(spawn(READING, path).communicate(timeout=60)[0]) == (4 if writer else 3)
    if held:
        held.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
def test_history_files_that_root_creates_belong_to_the_directorys_owner(reachable: Path) -> None:
    os.chown(reachable, NOBODY, NOBODY)
    path = str(reachable / "history.db")
    held = None
    with History(path) as history:
        started(history, record())
        held = {name: os.stat(reachable / name).st_uid for name in os.listdir(reachable)}
    assert set(held) == {"history.db", "history.db-shm", "history.db-wal"}
    assert set(held.values()) == {NOBODY}


def test_history_does_not_follow_a_planted_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    path = tmp_path / "history.db"
    path.symlink_to(precious)
    with History(str(path)) as history:
        started(history, record())
    assert precious.read_text() == "keep me"
    assert not path.is_symlink()


REFUSED = """
import os, sys
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
os.setgid(65534), os.setuid(65534)
try:
    History(sys.argv[1]).__enter__()
except CiError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_set_aside_reports_a_directory_without_write_permission(reachable: Path) -> None:
    path = reachable / "history.db"
    path.write_bytes(b"x" * 8192)
    path.chmod(0o666)
    said = spawn(REFUSED, str(path)).communicate(timeout=60)[0]
    assert said.startswith(f"The job history {path} is damaged, and cannot be set aside: The lock file ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(
    Path("/proc/sys/fs/protected_regular").read_text().strip() == "2",
    reason="this kernel lets no user open another user's file in a sticky directory",
)
def test_set_aside_reports_roots_file_in_a_sticky_directory(reachable: Path) -> None:
    os.chown(reachable, 0, NOBODY)
    reachable.chmod(0o1775)
    path = reachable / "history.db"
    path.write_bytes(b"x" * 8192)
    path.chmod(0o666)
    said = spawn(REFUSED, str(path)).communicate(timeout=60)[0]
    assert said.endswith("cannot be set aside (Operation not permitted); move it away as root.\n")
    assert path.stat().st_size == 8192
