"""The readers against this machine, with du, df and psutil as witnesses."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import sources, system
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.instances import Process, Unit
from ansible_collections.coldvox.ci.plugins.module_utils.process import Result


def test_memory_agrees_with_psutil() -> None:
    found = system.memory(sources.read_text("/proc/meminfo"))
    witness = psutil.virtual_memory()
    assert found.total_bytes == witness.total
    assert found.available_bytes == pytest.approx(witness.available, rel=0.05)


def test_load_agrees_with_the_system_call() -> None:
    assert system.load_1m(sources.read_text("/proc/loadavg")) == pytest.approx(os.getloadavg()[0], abs=0.5)


def test_cpu_time_agrees_with_psutil() -> None:
    busy, total = system.cpu_time(sources.read_text("/proc/stat"))
    witness = psutil.cpu_times()
    ticks = os.sysconf("SC_CLK_TCK")
    assert (total - busy) / ticks == pytest.approx(witness.idle + witness.iowait, rel=0.01)


def test_disk_space_agrees_with_df(tmp_path: Path) -> None:
    shown = subprocess.run(
        ["df", "-B1", "--output=size,used,avail", tmp_path], capture_output=True, text=True, check=True
    )
    size, used, free = (int(field) for field in shown.stdout.splitlines()[1].split())
    found = sources.disk_space(str(tmp_path))
    assert found.total == size
    # Others write meanwhile.
    assert found.used == pytest.approx(used, abs=64 * 1024**2)
    assert found.free == pytest.approx(free, abs=64 * 1024**2)


def du(*paths: Path) -> int:
    shown = subprocess.run(["du", "-scB1", "-D", *paths], capture_output=True, text=True, check=True)
    return int(shown.stdout.splitlines()[-1].split()[0])


def test_tree_bytes_agree_with_du(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "deep" / "er" / "big").write_bytes(os.urandom(300_000))
    (tree / "small").write_text("x", encoding="utf-8")
    os.link(tree / "small", tree / "second-name")
    (tree / "link-out").symlink_to("/usr")
    with (tree / "sparse").open("wb") as file:
        file.truncate(50_000_000)
    entrance = tmp_path / "entrance"
    entrance.symlink_to(tree)
    assert sources.tree_bytes([str(tree)]) == du(tree)
    assert sources.tree_bytes([str(entrance)]) == du(tree)
    assert sources.tree_bytes([str(tree), str(tree / "deep")]) == du(tree)


def test_a_tree_that_is_not_there_has_no_size(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sources.tree_bytes([str(tmp_path / "missing")])


def test_this_process_is_among_all() -> None:
    own = [process for process in sources.processes() if process.pid == os.getpid()]
    assert len(own) == 1
    assert own[0].argv == psutil.Process().cmdline()
    assert own[0].cgroup == sources.read_text("/proc/self/cgroup")


def test_a_process_that_ends_while_it_is_read_is_left_out(tmp_path: Path) -> None:
    for pid in ("1", "2"):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_text("/bin/a\0b\0", encoding="utf-8")
    (tmp_path / "2" / "cgroup").write_text("0::/x\n", encoding="utf-8")
    (tmp_path / "self").mkdir()
    assert list(sources.processes(str(tmp_path))) == [Process(2, ["/bin/a", "b"], "0::/x\n")]


def test_hardware_is_what_a_device_stands_behind(tmp_path: Path) -> None:
    (tmp_path / "eth0" / "device").mkdir(parents=True)
    (tmp_path / "docker0").mkdir()
    assert sources.hardware(str(tmp_path)) == {"eth0"}


def test_a_server_is_reachable_while_it_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/owner/repository"
        assert sources.reachable(url) is True
    assert sources.reachable(url) is False


def test_a_name_that_does_not_resolve_is_not_reachable() -> None:
    assert sources.reachable("https://nowhere.invalid") is False


def test_units_are_asked_for_in_one_call() -> None:
    asked: list[list[str]] = []

    def run(argv: Sequence[str], **_: object) -> Result:
        asked.append(list(argv))
        shown = "Id=coldvox-runner@a.service\nActiveState=active\nMemoryCurrent=5\nCPUUsageNSec=7\n"
        return Result(0, shown, "")

    units = sources.read_units(run, ["a", "b"])
    assert units == {"coldvox-runner@a.service": Unit(True, 7, 5)}
    assert len(asked) == 1
    assert asked[0][-3:] == ["--", "coldvox-runner@a.service", "coldvox-runner@b.service"]


def test_without_instances_systemd_is_left_alone() -> None:
    def run(argv: Sequence[str], **_: object) -> Result:
        raise AssertionError(argv)

    assert sources.read_units(run, []) == {}


def test_a_systemd_that_does_not_answer_is_an_unreadable_source() -> None:
    with pytest.raises(OSError, match="not been booted"):
        sources.read_units(lambda *_, **__: Result(1, "", "System has not been booted with systemd"), ["a"])
