"""The history of an earlier version comes to its own directory, all of it and once."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.carry_over import carry_over
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.paths import Paths

from tests._support.job_records import record, started

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(state=str(tmp_path))


def fill(path: str, run_id: int = 7) -> None:
    """Leave a history with one job in the log, as a process does that was killed."""
    files = [path + ending for ending in ("", "-wal", "-shm")]
    with History(path, most_days=100_000) as history:
        started(history, record(run_id=run_id))
        for file in files:
            shutil.copy(file, f"{file}.kept")
    for file in files:
        os.replace(f"{file}.kept", file)


def runs(path: str) -> list[int]:
    """Return the runs that the history at ``path`` knows."""
    with History(path, read_only=True) as history:
        return [job.run_id for job in history.jobs()]


def test_a_new_host_gets_an_empty_directory_and_the_link(paths: Paths) -> None:
    assert carry_over(paths, ME) == []
    assert os.listdir(os.path.dirname(paths.history)) == []
    assert os.readlink(paths.former_history) == "history/history.db"


def test_the_database_moves_with_its_log_and_is_found_under_both_names(paths: Paths) -> None:
    fill(paths.former_history)
    assert carry_over(paths, ME) == ["history.db", "history.db-shm", "history.db-wal"]
    assert runs(paths.history) == runs(paths.former_history) == [record()["run_id"]]
    assert carry_over(paths, ME) == []


def test_what_lies_beside_it_moves_and_what_is_not_its_own_stays(paths: Paths) -> None:
    beside = ["history.db.corrupt-20260101T000000Z", "history.db.lock"]
    for name in [*beside, "history.dbx", "other"]:
        Path(paths.state, name).touch()
    assert carry_over(paths, ME) == beside
    assert sorted(os.listdir(paths.state)) == ["history", "history.db", "history.dbx", "other"]


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the process end instead of the rename of number ``step``."""
    rename, seen = os.rename, []

    def killed(source: str, target: str) -> None:
        seen.append(source)
        if len(seen) == step:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", killed)


@pytest.mark.parametrize("step", range(1, 5))
def test_an_interrupted_move_is_finished_by_the_next(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    fill(paths.former_history)
    kill_at(monkeypatch, step)
    with pytest.raises(KeyboardInterrupt):
        carry_over(paths, ME)
    assert not os.path.exists(os.path.dirname(paths.history)), "no history can be begun anew meanwhile"
    monkeypatch.undo()
    carry_over(paths, ME)
    assert runs(paths.history) == [record()["run_id"]]


def begin_again(paths: Paths, run_id: int) -> None:
    """Leave in the former place what an older version begins there, last written at a moment of its own."""
    os.unlink(paths.former_history)
    fill(paths.former_history, run_id)
    os.utime(paths.former_history, (0, 0))


def kept(paths: Paths) -> list[str]:
    """Return the databases that were set aside."""
    home = os.path.dirname(paths.history)
    names = sorted(name for name in os.listdir(home) if ".older" in name)
    return [os.path.join(home, name) for name in names if not name.endswith(("-wal", "-shm"))]


def test_what_older_versions_began_afterwards_is_kept_each_time(paths: Paths) -> None:
    carry_over(paths, ME)
    with History(paths.history):
        pass
    for run_id in (1, 2, 3):
        begin_again(paths, run_id)
        assert carry_over(paths, ME) == ["history.db"]
    assert [runs(path) for path in kept(paths)] == [[1], [2], [3]]
    assert os.path.basename(kept(paths)[0]) == "history.db.older-19700101T000000Z"
    assert os.path.islink(paths.former_history)


def test_what_has_the_name_already_is_in_nobodys_way(paths: Paths) -> None:
    carry_over(paths, ME)
    os.mkdir(f"{paths.history}.older-19700101T000000Z")
    Path(f"{paths.history}.older-19700101T000000Z.2-wal").write_text("another one's")
    begin_again(paths, 8)
    carry_over(paths, ME)
    assert runs(f"{paths.history}.older-19700101T000000Z.3") == [8]


@pytest.mark.parametrize("step", [1, 2])
def test_an_interrupted_setting_aside_keeps_the_log_with_its_database(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    carry_over(paths, ME)
    begin_again(paths, 8)
    kill_at(monkeypatch, step)
    with pytest.raises(KeyboardInterrupt):
        carry_over(paths, ME)
    monkeypatch.undo()
    carry_over(paths, ME)
    assert [runs(path) for path in kept(paths)] == [[8]]


def test_another_link_in_the_former_place_becomes_the_right_one(paths: Paths) -> None:
    os.symlink("elsewhere", paths.former_history)
    carry_over(paths, ME)
    assert os.readlink(paths.former_history) == "history/history.db"
    assert sorted(os.listdir(paths.state)) == ["history", "history.db"]


def test_what_is_neither_link_nor_database_is_told(paths: Paths) -> None:
    os.mkdir(paths.former_history)
    with pytest.raises(CiError, match="no symlink is in the way"):
        carry_over(paths, ME)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make directories for another user")
def test_a_directory_of_roots_is_given_to_the_user(paths: Paths) -> None:
    home = os.path.dirname(paths.history)
    os.mkdir(home)
    carry_over(paths, "nobody")
    account = pwd.getpwnam("nobody")
    assert (os.stat(home).st_uid, os.stat(home).st_gid) == (account.pw_uid, account.pw_gid)


@pytest.mark.parametrize("name", ["history", ".history"])
def test_a_planted_link_is_told_and_not_followed(paths: Paths, tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / name).symlink_to("elsewhere")
    with pytest.raises(CiError, match="move it away as root"):
        carry_over(paths, ME)
    assert os.listdir(tmp_path / "elsewhere") == []
