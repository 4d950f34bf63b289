"""The start of a listener: root cleans, and waits after listeners without a job."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal import prepare as preparing
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import Result
from ansible_collections.coldvox.ci.plugins.module_utils.runner.account import Account, Host
from ansible_collections.coldvox.ci.plugins.module_utils.runner.fresh_start import Settings
from ansible_collections.coldvox.ci.plugins.module_utils.runner.instance_records import (
    LIFE,
    OVERFULL,
    TREE,
    read_record,
    write_record,
)
from ansible_collections.coldvox.ci.plugins.module_utils.runner.layout import Layout, instance_layout

ONCE = Settings(one_job=True)


class Machine:
    """A machine whose systemd has restarted the unit ``restarts`` times."""

    def __init__(self) -> None:
        self.restarts = 0
        self.slept: list[float] = []
        self.started: list[str] = []
        self.said: list[str] = []

    def run(self, argv: Sequence[str], **_options: Any) -> Result:
        if argv[1] == "start":
            self.started.append(argv[-1])
        return Result(0, f"Id=coldvox-runner@one.service\nNRestarts={self.restarts}\n", "")

    @property
    def host(self) -> Host:
        return Host(self.run, self.slept.append, lambda: 0.0)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(preparing, "account_of", lambda name: Account(name, os.geteuid(), os.getegid()))
    return Machine()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = instance_layout(str(tmp_path), "one")
    (tmp_path / "one/.coldvox").mkdir(parents=True)
    write_record(layout, TREE, {"tree": "x", "entries": ["bin"]})
    return layout


def test_prepare_waits_longer_after_each_listener_without_a_job(
    machine: Machine, layout: Layout, tmp_path: Path
) -> None:
    for restarts in range(4):
        machine.restarts = restarts
        preparing.prepare(str(tmp_path), "one", ONCE, machine.said.append, machine.host)
    assert machine.slept == [0, 5, 10, 20]
    log = Path(layout.file("_diag"), "Worker_1.log")
    log.parent.mkdir()
    log.touch()
    machine.restarts = 4
    preparing.prepare(str(tmp_path), "one", ONCE, machine.said.append, machine.host)
    assert machine.slept[-1] == 0
    assert "starts in 20 s" in machine.said[-1]


def test_prepare_waits_also_when_it_cannot_clean(machine: Machine, layout: Layout, tmp_path: Path) -> None:
    write_record(layout, TREE, {})
    machine.restarts = 2
    with pytest.raises(CiError, match="converge this host"):
        preparing.prepare(str(tmp_path), "one", ONCE, machine.said.append, machine.host)
    assert machine.slept == [10]


def test_prepare_leaves_what_takes_long_to_the_watcher(
    machine: Machine, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "_TRASH_SECONDS", -1.0)
    Path(layout.file("large")).touch()
    preparing.prepare(str(tmp_path), "one", ONCE, machine.said.append, machine.host)
    assert machine.started == ["coldvox-ci-job@one.service"]
    assert not Path(layout.file("large")).exists()


def test_prepare_keeps_files_of_jobs_in_the_old_rhythm(
    machine: Machine, layout: Layout, tmp_path: Path
) -> None:
    write_record(layout, LIFE, {"calm_restarts": 7})
    Path(layout.file("build")).touch()
    assert preparing.prepare(str(tmp_path), "one", Settings(), machine.said.append, machine.host) is None
    assert Path(layout.file("build")).exists()
    assert read_record(layout, LIFE) == {}
    assert machine.slept == []


@pytest.mark.parametrize("rhythm", [Settings(), ONCE], ids=["job after job", "one job"])
def test_prepare_removes_what_a_killed_runner_left(
    machine: Machine, layout: Layout, tmp_path: Path, rhythm: Settings
) -> None:
    """elizaOS/eliza issue 17421: a page of a log that is still there ends the next job."""
    pages = Path(layout.file("_diag"), "pages")
    pages.mkdir(parents=True)
    (pages / "6f1a_2c_1.log").touch()
    (pages.parent / "blocks").mkdir()
    for number in range(130):
        (pages.parent / f"Runner_{number:03}.log").touch()
    preparing.prepare(str(tmp_path), "one", rhythm, machine.said.append, machine.host)
    left = sorted(path.name for path in pages.parent.iterdir()) if pages.parent.exists() else []
    assert left == ([] if rhythm.one_job else [f"Runner_{number:03}.log" for number in range(30, 130)])


@pytest.mark.parametrize("rhythm", [Settings(), ONCE], ids=["job after job", "one job"])
def test_prepare_starts_no_listener_whose_jobs_cannot_work(
    machine: Machine, layout: Layout, tmp_path: Path, rhythm: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(layout.home).mkdir(exist_ok=True)
    reason = f"'{layout.home}' is on '/x', mounted read-only; remount it"
    monkeypatch.setattr(preparing, "unusable", lambda *_place: reason)
    with pytest.raises(
        CiError, match=r"Runner 'one' takes no job, because .* mounted read-only; remount it."
    ):
        preparing.prepare(str(tmp_path), "one", rhythm, machine.said.append, machine.host)


def test_prepare_makes_a_directory_usable_again(machine: Machine, layout: Layout, tmp_path: Path) -> None:
    work = Path(layout.file("_work"))
    work.mkdir()
    work.chmod(0o500)
    preparing.prepare(str(tmp_path), "one", Settings(), machine.said.append, machine.host)
    assert work.stat().st_mode & 0o777 == 0o700


def test_prepare_keeps_nothing_of_a_job_that_took_too_much(
    machine: Machine, layout: Layout, tmp_path: Path
) -> None:
    """What was kept would end each following job too."""
    kept = Path(layout.home, "target", "file")
    settings = Settings(one_job=True, keep=("target",))
    for overfull in (False, True, False):
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.touch()
        if overfull:
            write_record(layout, OVERFULL, {"at": 0.0, "reason": "too much", "wiped": False})
        preparing.prepare(str(tmp_path), "one", settings, machine.said.append, machine.host)
        assert kept.exists() is not overfull
    assert read_record(layout, OVERFULL) == {"at": 0.0, "reason": "too much", "wiped": True}
