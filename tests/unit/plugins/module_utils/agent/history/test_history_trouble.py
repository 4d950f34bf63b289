"""The history's database when something is wrong: age, damage, crowds, full disks, strangers."""

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
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.records import checked
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.schema import (
    DamagedError,
    HistoryError,
)
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.health.dispatch import Aggregate

from tests._support.job_records import NOON, record

NOBODY = 65534
HOUR = 3600.0


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "history.db")


def stop_checkpoints(path: str) -> sqlite3.Connection:
    """Hold the database open, so that the files beside it stay."""
    connection = sqlite3.connect(path)
    connection.execute("SELECT COUNT(*) FROM jobs").fetchone()
    return connection


def test_an_older_database_is_brought_up_to_date_with_its_jobs(path: str) -> None:
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
        assert reader.jobs() == []  # not before somebody who may write has opened it
    with History(path) as history:
        assert [job.job for job in history.jobs()] == ["old"]
        assert history.summaries() == []
        history.add_aggregates([Aggregate("old", "cloud", 1, 1, 1.0, 1)])
    with History(path, read_only=True) as reader:
        assert len(reader.jobs()) == len(reader.summaries()) == 1


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_database_is_left_alone(path: str, read_only: bool) -> None:
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
    """Overwrite the file from ``start`` to its end, as a dying disk does."""
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
def test_a_damaged_database_is_set_aside_and_told_once(path: str, content: bytes | None) -> None:
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
            == f"the job history {path} was damaged; it is kept as {kept}, a new one has begun."
        )
        assert kept.read_bytes() == before
        assert history.started(record())
    with History(path) as history:
        assert history.notice == ""
        assert len(history.jobs()) == 1


def test_damage_met_while_working_is_set_aside_as_well(path: str) -> None:
    filled(path)
    damage(path, 40960)  # the check of this boot has been made
    with History(path) as history:
        with pytest.raises(DamagedError):
            history.jobs()
        assert "a new one has begun" in history.notice
        assert history.started(record())
        assert len(history.jobs()) == 1


def test_only_the_newest_damaged_database_before_this_one_is_kept(path: str) -> None:
    for year in (2001, 2002, 2003):
        for ending in ("", "-wal"):
            Path(f"{path}.corrupt-{year}0101T000000Z{ending}").write_text("x")
    Path(path).write_bytes(b"x" * 4096)
    with History(path):
        pass
    kept = sorted(found.name for found in Path(path).parent.glob("*corrupt*"))
    assert len(kept) == 3
    assert kept[:2] == ["history.db.corrupt-20030101T000000Z", "history.db.corrupt-20030101T000000Z-wal"]


OPENING = """
import sys
from ansible_collections.coldvox.ci.plugins.module_utils.history.database import History
print("ready", flush=True)
sys.stdin.readline()
with History(sys.argv[1]) as history:
    history.started({"instance": sys.argv[2], "job": "x", "run_id": 1, "at": 1.8e9})
    print(bool(history.notice))
"""


def test_of_several_that_meet_a_damaged_database_one_sets_it_aside(path: str) -> None:
    Path(path).write_bytes(b"x" * 8192)
    crowd = released(spawn(OPENING, path, str(number)) for number in range(6))
    told = [process.communicate(timeout=120)[0].strip() for process in crowd]
    assert sorted(told) == ["False"] * 5 + ["True"]
    assert len(list(Path(path).parent.glob("*.corrupt-*Z"))) == 1
    with History(path, read_only=True) as history:
        assert len(history.jobs()) == 6


def spawn(code: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def released(processes: Iterable[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    """Let all begin at once, when each has imported what it needs."""
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
from ansible_collections.coldvox.ci.plugins.module_utils.history.database import History
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    with History(sys.argv[1], most_days=100000) as history:
        event = {"instance": sys.argv[2], "job": "x", "run_id": number, "at": 1.8e9 + number}
        history.started(event)
        history.completed({**event, "at": 1.8e9 + number + 0.5, "result": "success"})
"""


def test_eight_writers_lose_nothing(path: str) -> None:
    writers = released(spawn(WRITING, path, f"runner-{number}") for number in range(8))
    assert [writer.wait(240) for writer in writers] == [0] * 8
    with History(path, read_only=True) as history:
        found = history.jobs()
    assert len(found) == 320
    assert {job.duration_seconds for job in found} == {0.5}


def test_a_database_that_stays_locked_is_told_and_changed_by_nobody(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.05)
    filled(path, 1)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with History(path) as history:
        assert len(history.jobs()) == 1, "a reader has waited for a writer"
        with pytest.raises(HistoryError, match=r"history\.db cannot be used \(database is locked\): another"):
            history.started(record(run_id=2000))
        blocker.execute("ROLLBACK")
        assert history.started(record(run_id=2000))
    blocker.close()


FILLING = """
import resource, signal, sys
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.history.records import checked
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
    *batches, said = printed.splitlines()
    assert "history.db cannot be used (" in said
    assert "free space there" in said
    with History(path, read_only=True) as history:
        assert len(history.jobs(limit=100_000)) == 100 * len(batches), "half a batch is there"


def test_a_file_that_may_not_grow_keeps_what_it_had(path: str) -> None:
    done = spawn(FILLING, path, "1500000").communicate(timeout=120)[0]
    check_the_disk_was_full(path, done)
    with History(path, most_days=100_000) as history:
        assert history.started(record(instance="later"))


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system can be mounted by root only")
def test_a_full_disk_keeps_what_it_had(tmp_path: Path) -> None:
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


def test_without_a_database_a_reader_finds_nothing_and_makes_nothing(path: str) -> None:
    with History(path, read_only=True) as history:
        assert (history.jobs(), history.summaries()) == ([], [])
        with pytest.raises(CiError, match="open for reading only"):
            history.started(record())
    assert not os.path.exists(path)


def test_a_directory_that_is_missing_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(HistoryError, match=r"cannot be opened \(No such file"),
        History(str(tmp_path / "a/b")),
    ):
        pass


READING = """
import os, sys
from ansible_collections.coldvox.ci.plugins.module_utils.history.database import History
os.setgid(65534), os.setuid(65534)
with History(sys.argv[1], read_only=True) as history:
    print(len(history.jobs()))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("writer", [False, True], ids=["at rest", "while it is written"])
def test_another_user_can_read_but_not_write(reachable: Path, writer: bool) -> None:
    path = str(reachable / "history.db")
    filled(path, 3)
    held = stop_checkpoints(path) if writer else None
    if held:
        with History(path, most_days=100_000) as history:
            history.started(record(run_id=7000))
    assert int(spawn(READING, path).communicate(timeout=60)[0]) == (4 if writer else 3)
    if held:
        held.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
def test_what_root_makes_belongs_to_the_directorys_owner(reachable: Path) -> None:
    os.chown(reachable, NOBODY, NOBODY)
    path = str(reachable / "history.db")
    held = None
    with History(path) as history:
        history.started(record())
        held = {name: os.stat(reachable / name).st_uid for name in os.listdir(reachable)}
    assert set(held) == {"history.db", "history.db-shm", "history.db-wal"}
    assert set(held.values()) == {NOBODY}


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    path = tmp_path / "history.db"
    path.symlink_to(precious)
    with History(str(path)) as history:
        history.started(record())
    assert precious.read_text() == "keep me"
    assert not path.is_symlink()


REFUSED = """
import os, sys
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.history.database import History
os.setgid(65534), os.setuid(65534)
try:
    History(sys.argv[1]).__enter__()
except CiError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_damaged_database_that_cannot_be_moved_is_told(reachable: Path) -> None:
    path = reachable / "history.db"
    path.write_bytes(b"x" * 8192)
    path.chmod(0o666)
    said = spawn(REFUSED, str(path)).communicate(timeout=60)[0]
    assert said.startswith(f"The job history {path} is damaged, and cannot be set aside: the lock file ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(
    Path("/proc/sys/fs/protected_regular").read_text().strip() == "2",
    reason="this kernel lets nobody open another user's file in a sticky directory",
)
def test_a_damaged_database_of_root_in_a_sticky_directory_is_told(reachable: Path) -> None:
    os.chown(reachable, 0, NOBODY)
    reachable.chmod(0o1775)
    path = reachable / "history.db"
    path.write_bytes(b"x" * 8192)
    path.chmod(0o666)
    said = spawn(REFUSED, str(path)).communicate(timeout=60)[0]
    assert said.endswith("cannot be set aside (Operation not permitted); move it away as root.\n")
    assert path.stat().st_size == 8192
