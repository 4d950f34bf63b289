"""The readers against this machine, with du, df and psutil as witnesses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import sources, system
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.instances import Unit


def test_a_command_line_without_end_is_not_kept() -> None:
    code = "import sys; print(flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", code, *["x" * 100_000] * 10]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (found,) = sources.runner_processes({"one": Unit(True, None, None, (process.pid,))})
        assert process.stdin is not None
        process.stdin.close()
    assert found.arguments[:3] == (sys.executable, "-c", code)
    assert len("".join(found.arguments)) < 20_000


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


def test_hardware_is_what_a_device_stands_behind(tmp_path: Path) -> None:
    (tmp_path / "eth0" / "device").mkdir(parents=True)
    (tmp_path / "docker0").mkdir()
    assert sources.hardware(str(tmp_path)) == {"eth0"}
