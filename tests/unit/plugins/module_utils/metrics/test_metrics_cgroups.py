"""Control groups as the kernel shows them, in a directory that a test can take apart."""

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
STOPPED = Unit(False, 0, 0, (), 0)


def made(root: Path, unit: str, pids: str = "7\n8\n", where: str = "coldvox.slice/coldvox-ci.slice") -> Path:
    group = root / where / unit
    group.mkdir(parents=True)
    (group / "cgroup.procs").write_text(pids)
    (group / "cgroup.stat").write_text("nr_descendants 0\nnr_dying_descendants 3\n")
    (group / "cpu.stat").write_text("usage_usec 1500\nuser_usec 1000\n")
    (group / "memory.current").write_text("4096\n")
    (group / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    return group


def groups(root: Path, init: str = "/") -> Groups:
    return Groups(KeptFiles().text, str(root), init)


def test_a_unit_is_found_in_its_slice_and_read(tmp_path: Path) -> None:
    made(tmp_path, UNIT)
    assert groups(tmp_path).units([UNIT]) == {UNIT: Unit(True, 1_500_000, 4096, (7, 8), 2)}


@pytest.mark.parametrize("where", ["system.slice", "system.slice/system-coldvox.slice", "."])
def test_it_is_found_wherever_a_drop_in_puts_it(tmp_path: Path, where: str) -> None:
    made(tmp_path, UNIT, where=where)
    assert groups(tmp_path).units([UNIT])[UNIT].active


def test_a_unit_without_a_group_does_not_run(tmp_path: Path) -> None:
    made(tmp_path, UNIT)
    assert groups(tmp_path).units([OTHER]) == {OTHER: STOPPED}
    assert groups(tmp_path / "missing").units([UNIT]) == {UNIT: STOPPED}


def test_a_group_that_goes_and_comes_back_elsewhere_is_followed(tmp_path: Path) -> None:
    reader = groups(tmp_path)
    made(tmp_path, UNIT)
    assert reader.units([UNIT])[UNIT].active
    shutil.rmtree(tmp_path / "coldvox.slice")
    # An open file of a removed group answers ENODEV; a plain file goes on, so the reader begins anew.
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


@pytest.mark.parametrize("missing", ["cpu.stat", "memory.current", "memory.events"])
def test_a_controller_that_is_off_is_null(tmp_path: Path, missing: str) -> None:
    (made(tmp_path, UNIT) / missing).unlink()
    found = groups(tmp_path).units([UNIT])[UNIT]
    assert found.active
    assert [found.cpu_nanoseconds, found.memory_bytes, found.oom_kills].count(None) == 1


def test_slices_of_people_are_searched_no_deeper_than_slices_go(tmp_path: Path) -> None:
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
def test_the_first_process_tells_where_the_groups_begin(text: str, group: str | None) -> None:
    assert init_group(text) == group


def test_in_a_container_that_sees_its_hosts_groups_only_its_own_count(tmp_path: Path) -> None:
    made(tmp_path, UNIT, "1\n")
    made(tmp_path / "docker/abc", UNIT, "2\n")
    assert groups(tmp_path, "/docker/abc").units([UNIT])[UNIT].pids == (2,)
