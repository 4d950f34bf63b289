"""Control groups as the kernel shows them, in a directory of the test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.instances import (
    Groups,
    Unit,
    find,
    init_group,
)
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.kept import KeptFiles

UNIT = "coldvox-runner@one.service"
OTHER = "coldvox-runner@two.service"
STOPPED = Unit(False, 0, 0, ())


def made(root: Path, unit: str, pids: str = "7\n8\n", where: str = "coldvox.slice/coldvox-ci.slice") -> Path:
    group = root / where / unit
    group.mkdir(parents=True)
    (group / "cgroup.procs").write_text(pids)
    (group / "cgroup.stat").write_text("nr_descendants 0\nnr_dying_descendants 3\n")
    (group / "cpu.stat").write_text("usage_usec 1500\nuser_usec 1000\n")
    (group / "memory.current").write_text("4096\n")
    return group


def groups(root: Path, init: str = "/") -> Groups:
    return Groups(KeptFiles().text, str(root), init)


def test_groups_read_a_unit_in_its_slice(tmp_path: Path) -> None:
    made(tmp_path, UNIT)
    assert groups(tmp_path).units([UNIT]) == {UNIT: Unit(True, 1_500_000, 4096, (7, 8))}


@pytest.mark.parametrize("where", ["system.slice", "system.slice/system-coldvox.slice", "."])
def test_groups_read_a_unit_in_the_slice_of_a_drop_in(tmp_path: Path, where: str) -> None:
    made(tmp_path, UNIT, where=where)
    assert groups(tmp_path).units([UNIT])[UNIT].active


def test_groups_show_a_unit_without_a_group_as_stopped(tmp_path: Path) -> None:
    made(tmp_path, UNIT)
    assert groups(tmp_path).units([OTHER]) == {OTHER: STOPPED}
    assert groups(tmp_path / "missing").units([UNIT]) == {UNIT: STOPPED}


def test_groups_follow_a_unit_to_another_slice(tmp_path: Path) -> None:
    reader = groups(tmp_path)
    made(tmp_path, UNIT)
    assert reader.units([UNIT])[UNIT].active
    shutil.rmtree(tmp_path / "coldvox.slice")
    # An open file of a removed group answers ENODEV; a plain file goes on, so the test makes a new reader.
    reader = groups(tmp_path)
    assert reader.units([UNIT]) == {UNIT: STOPPED}
    made(tmp_path, UNIT, "9\n", where="system.slice")
    assert reader.units([UNIT])[UNIT].pids == (9,)


def test_groups_below_the_unit_belong_to_it(tmp_path: Path) -> None:
    group = made(tmp_path, UNIT, "7\n")
    (group / "cgroup.stat").write_text("nr_descendants 1\n")
    below = group / "job"
    below.mkdir()
    (below / "cgroup.procs").write_text("5\n0\n")
    assert groups(tmp_path).units([UNIT])[UNIT].pids == (5, 7)


@pytest.mark.parametrize("missing", ["cpu.stat", "memory.current"])
def test_groups_show_null_for_a_controller_that_is_off(tmp_path: Path, missing: str) -> None:
    (made(tmp_path, UNIT) / missing).unlink()
    unit = groups(tmp_path).units([UNIT])[UNIT]
    assert unit.active
    assert [unit.cpu_nanoseconds, unit.memory_bytes].count(None) == 1


def test_find_searches_slices_only(tmp_path: Path) -> None:
    made(tmp_path, UNIT, where="user.slice/session.scope")
    assert find(str(tmp_path), [UNIT]) == {}


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("0::/init.scope\n", "/"),
        ("0::/docker/abc/init.scope\n", "/docker/abc"),
        ("0::/\n", "/"),
        ("12:memory:/\n1:name=systemd:/init.scope\n0::/init.scope\n", None),
        ("1:name=systemd:/init.scope\n", None),
        ("", None),
    ],
)
def test_init_group_is_that_of_the_first_process(text: str, group: str | None) -> None:
    assert init_group(text) == group


def test_groups_of_a_container_are_its_own_when_it_sees_the_hosts(tmp_path: Path) -> None:
    made(tmp_path, UNIT, "1\n")
    made(tmp_path / "docker/abc", UNIT, "2\n")
    assert groups(tmp_path, "/docker/abc").units([UNIT])[UNIT].pids == (2,)
