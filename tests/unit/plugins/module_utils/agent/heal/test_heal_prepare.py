"""The start of a listener: root cleans, and waits after listeners without a job."""

from __future__ import annotations

import os
import shutil
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


def test_prepare_changes_nothing_in_the_old_rhythm(machine: Machine, layout: Layout, tmp_path: Path) -> None:
    write_record(layout, LIFE, {"calm_restarts": 7})
    Path(layout.file("build")).touch()
    assert preparing.prepare(str(tmp_path), "one", Settings(), machine.said.append, machine.host) is None
    assert Path(layout.file("build")).exists()
    assert read_record(layout, LIFE) == {}
    assert machine.slept == []


def toolchain(root: Path) -> Path:
    """Return a RUSTUP_HOME with a toolchain that has a program and a record."""
    for name in ("bin/rustc", "lib/rustlib/components"):
        path = root / "toolchains/stable" / name
        path.parent.mkdir(parents=True)
        path.write_text("first")
    (root / "settings.toml").write_text('default_toolchain = "stable"')
    return root


@pytest.mark.parametrize("settings", [ONCE, Settings()])
def test_prepare_gives_each_job_the_toolchains(
    machine: Machine, layout: Layout, tmp_path: Path, settings: Settings
) -> None:
    shared, mine = toolchain(tmp_path / "shared"), Path(layout.home, ".rustup")
    os.makedirs(mine.parent)

    def prepare() -> None:
        preparing.prepare(
            str(tmp_path), "one", settings, machine.said.append, machine.host, rustup_home=str(shared)
        )

    prepare()
    program, record = "toolchains/stable/bin/rustc", "toolchains/stable/lib/rustlib/components"
    assert (mine / program).samefile(shared / program)
    assert not (mine / record).samefile(shared / record)
    (mine / record).write_text("second")
    (mine / "toolchains/planted").mkdir()
    prepare()
    assert (mine / record).read_text() == (shared / record).read_text() == "first"
    assert os.listdir(mine / "toolchains") == ["stable"]
    assert machine.said == []


def test_prepare_follows_no_link_in_the_place_of_the_toolchains(
    machine: Machine, layout: Layout, tmp_path: Path
) -> None:
    shared, outside = toolchain(tmp_path / "shared"), tmp_path / "outside"
    outside.mkdir()
    os.makedirs(layout.home)
    Path(layout.home, ".rustup").symlink_to(outside)
    preparing.prepare(
        str(tmp_path), "one", Settings(), machine.said.append, machine.host, rustup_home=str(shared)
    )
    assert os.listdir(outside) == []
    assert not Path(layout.home, ".rustup").is_symlink()


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir() or Path("/dev/shm").stat().st_dev == Path("/tmp").stat().st_dev,
    reason="this machine has one file system only",
)
def test_prepare_starts_the_listener_also_on_another_file_system(
    machine: Machine, layout: Layout, tmp_path: Path
) -> None:
    shared = toolchain(Path("/dev/shm") / f"coldvox-rustup-{os.getpid()}")
    try:
        preparing.prepare(
            str(tmp_path), "one", ONCE, machine.said.append, machine.host, rustup_home=str(shared)
        )
    finally:
        shutil.rmtree(shared)
    assert "on one file system" in machine.said[0]
    assert os.listdir(layout.home) == [], "the job uses the shared toolchains"
