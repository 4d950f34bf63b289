"""The text file, judged by Prometheus's own promtool where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import prometheus

from testbed.docker_engine import this_machine

SAMPLE: dict[str, Any] = {
    "timestamp": "2026-03-01T09:30:00Z",
    **{metric.key: 50 for metric in prometheus.HOST},
    "model_cache_available": True,
    "network_reachable": False,
    "interfaces": [
        {"name": "eth0", "rx_bytes": 12345678901, "tx_bytes": 7},
        {"name": "wlp1s0", "rx_bytes": 5, "tx_bytes": 6},
    ],
    "disks": [{"name": "nvme0n1", "read_bytes": 512, "written_bytes": 1024}],
    "instances": [
        {"name": "one", "unit_active": True, "busy": False, "cpu_percent": 12.5, "memory_bytes": 100},
        {"name": 'odd"\\\n', "unit_active": None, "busy": True, "cpu_percent": None, "memory_bytes": None},
    ],
}


def values(text: str) -> dict[str, str]:
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def test_text_has_values_in_base_units() -> None:
    written = values(prometheus.text(SAMPLE, {"score": 80}))
    assert written["coldvox_ci_load1"] == "50"
    assert written["coldvox_ci_memory_used_bytes"] == "50"
    assert written["coldvox_ci_disk_used_ratio"] == "0.5"
    assert written['coldvox_ci_network_receive_bytes_total{device="eth0"}'] == "12345678901"
    assert written['coldvox_ci_disk_written_bytes_total{device="nvme0n1"}'] == "1024"
    assert written["coldvox_ci_model_cache_available"] == "1"
    assert written["coldvox_ci_network_reachable"] == "0"
    assert written['coldvox_ci_runner_cpu_used_ratio{runner="one"}'] == "0.125"
    assert written['coldvox_ci_runner_busy{runner="odd\\"\\\\\\n"}'] == "1"
    assert written["coldvox_ci_health_score"] == "80"
    assert written["coldvox_ci_sample_timestamp_seconds"] == "1772357400"


def test_text_leaves_out_a_null_value_and_its_family() -> None:
    text = prometheus.text({**dict.fromkeys(SAMPLE), "timestamp": SAMPLE["timestamp"]})
    assert list(values(text)) == ["coldvox_ci_sample_timestamp_seconds"]
    assert text.count("# TYPE") == 1


def test_text_has_each_family_once_by_the_rules_for_names() -> None:
    text = prometheus.text(SAMPLE, {"score": 80})
    families = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    assert len(families) == len(set(families))
    for name, kind in families:
        assert name.startswith("coldvox_ci_")
        assert name.endswith("_total") is (kind == "counter")


def counters(*devices: tuple[str, int]) -> dict[str, int]:
    interfaces = [{"name": name, "rx_bytes": count, "tx_bytes": 0} for name, count in devices]
    written = values(prometheus.text({**SAMPLE, "interfaces": interfaces}))
    return {name: int(value) for name, value in written.items() if "network_receive" in name}


def test_text_has_no_counter_that_falls_when_a_device_is_pulled() -> None:
    """shirou/gopsutil issue 511: the total falls from 10 GB to 4 GB, and rate() takes that for a restart."""
    before = counters(("eth0", 4 * 10**9), ("dock0", 6 * 10**9))
    after = counters(("eth0", 4 * 10**9 + 5))
    assert [after[name] - before[name] for name in after] == [5]


@pytest.fixture
def promtool(tmp_path: Path) -> str:
    """The installed promtool, or Debian's package unpacked.

    Debian 13 has a package promtool, Debian 12 has the program in prometheus. Installed, that would start a
    server.
    """
    path = shutil.which("promtool")
    if path is None and shutil.which("apt-get"):
        if not (_unpacked("promtool", tmp_path) or _unpacked("prometheus", tmp_path)):
            if this_machine().can_install:
                subprocess.run(["apt-get", "update", "-q"], check=False)
            _unpacked("promtool", tmp_path) or _unpacked("prometheus", tmp_path)
        path = shutil.which("promtool", path=str(tmp_path / "usr/bin"))
    if path is None:
        pytest.skip("promtool is not here, nor can apt-get download a package of Debian that has it")
    return path


def _unpacked(package: str, folder: Path) -> bool:
    """Download ``package`` and unpack it in ``folder``; return whether promtool is there now."""
    subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=False)
    for archive in folder.glob(f"{package}_*.deb"):
        subprocess.run(["dpkg-deb", "--extract", archive, folder], check=True)
    return (folder / "usr/bin/promtool").exists()


def test_text_passes_promtool(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=prometheus.text(SAMPLE, {"score": 80}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
