"""The removal of free lock files that jobs leave."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.hooks import spool
from ansible_collections.coldvox.ci.plugins.module_utils.host import flock
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock

ME = os.geteuid()
OTHER = 65534


@pytest.mark.parametrize("shared", [False, True])
def test_prune_locks_keeps_held_locks(tmp_path: Path, shared: bool) -> None:
    (tmp_path / "free.lock").touch()
    (tmp_path / "full" / "of" / "things").mkdir(parents=True)
    (tmp_path / "link.lock").symlink_to("held.lock")
    os.mkfifo(tmp_path / "pipe.lock")
    with Flock(str(tmp_path / "held.lock"), shared=shared):
        assert spool.prune_locks(str(tmp_path), ME) == 4
        assert os.listdir(tmp_path) == ["held.lock"]
    assert spool.prune_locks(str(tmp_path), ME) == 1


@pytest.mark.skipif(ME != 0, reason="only root can make files of another user")
def test_prune_locks_removes_only_files_of_the_account(tmp_path: Path) -> None:
    for name in ("roots.lock", "jobs.lock"):
        (tmp_path / name).touch()
    os.chown(tmp_path / "jobs.lock", OTHER, OTHER)
    assert spool.prune_locks(str(tmp_path), OTHER) == 1
    assert os.listdir(tmp_path) == ["roots.lock"]


def test_prune_locks_is_bounded(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / str(number)).touch()
    assert spool.prune_locks(str(tmp_path), ME, most=3) == 3
    assert len(os.listdir(tmp_path)) == 2


def test_prune_locks_needs_a_directory(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "precious").touch()
    (tmp_path / "link").symlink_to("real")
    assert spool.prune_locks(str(tmp_path / "none"), ME) == spool.prune_locks(str(tmp_path / "link"), ME) == 0
    assert (tmp_path / "real" / "precious").exists()


def test_prune_locks_keeps_a_replaced_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may hold the new file already."""
    path = tmp_path / "a.lock"
    path.touch()
    granted = flock._granted

    def replaced(fd: int, operation: int) -> bool:
        (tmp_path / "new").touch()
        (tmp_path / "new").rename(path)
        return granted(fd, operation)

    monkeypatch.setattr(flock, "_granted", replaced)
    assert spool.prune_locks(str(tmp_path), ME) == 0
    assert path.exists()


def test_prune_locks_keeps_the_exclusion(tmp_path: Path) -> None:
    path, inside, seen = str(tmp_path / "a.lock"), [0], []
    done = threading.Event()

    def work() -> None:
        for _round in range(200):
            with Flock(path):
                inside[0] += 1
                seen.append(inside[0])
                inside[0] -= 1

    def sweep() -> None:
        while not done.is_set():
            spool.prune_locks(str(tmp_path), ME)

    workers = [threading.Thread(target=work) for _number in range(3)]
    sweeper = threading.Thread(target=sweep)
    for thread in (sweeper, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    done.set()
    sweeper.join()
    assert seen == [1] * 600
