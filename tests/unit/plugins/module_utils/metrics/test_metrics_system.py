"""psutil's readings of written files, and of this machine against /proc."""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import system

STAT = "cpu  100 20 30 800 50 5 5 0 40 2\ncpu0 50 10 15 400 25 2 3 0 20 1\n"
MEMINFO = """MemTotal:       32000 kB
MemFree:         1000 kB
MemAvailable:   24000 kB
Buffers:          100 kB
Cached:          2000 kB
Active:          3000 kB
Inactive:        1000 kB
Shmem:            100 kB
SwapTotal:       8000 kB
SwapFree:        6000 kB
HugePages_Total:    0
"""
NET_DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls
    lo: 9999 10 0 0 0 0 0 0 9999 10 0 0 0 0 0 0
wlp0s20f3: 1000 10 0 0 0 0 0 0 200 5 0 0 0 0 0 0
  eth0:300 3 0 0 0 0 0 0 40 2 0 0 0 0 0 0
docker0: 7000 10 0 0 0 0 0 0 8000 5 0 0 0 0 0 0
"""
DISKSTATS = """ 259 0 nvme0n1 100 0 2000 50 200 0 4000 60 0 10 110 0 0 0 0 0 0
 259 1 nvme0n1p1 100 0 2000 50 200 0 4000 60 0 10 110 0 0 0 0 0 0
   7 0 loop0 1 0 8 0 0 0 0 0 0 0 0 0 0 0 0 0 0
"""
TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def procfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that writes the files of a /proc for psutil."""
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    (tmp_path / "net").mkdir()

    def write(**files: str) -> None:
        texts = {"stat": STAT, "meminfo": MEMINFO, "diskstats": DISKSTATS, "net_dev": NET_DEV, **files}
        for name, text in {"vmstat": "pswpin 0\npswpout 0\n", **texts}.items():
            (tmp_path / name.replace("_", "/")).write_text(text, encoding="ascii")

    write()
    return write


@pytest.mark.parametrize(
    ("part", "whole", "expected"), [(1, 3, 33.3), (0, 0, 0.0), (5, 4, 100.0), (-1, 4, 0.0), (2, 2, 100.0)]
)
def test_percent_is_bounded_and_has_one_decimal(part: float, whole: float, expected: float) -> None:
    assert system.percent(part, whole) == expected


def test_load_1m_is_that_of_the_kernel() -> None:
    stated = float(Path("/proc/loadavg").read_text(encoding="ascii").split()[0])
    assert system.load_1m() == pytest.approx(stated, abs=0.5)


@pytest.mark.usefixtures("procfs")
def test_cpu_time_counts_guests_once_and_waiting_for_disks_as_idle() -> None:
    assert system.cpu_time() == pytest.approx((160 / TICKS, 1010 / TICKS))


def test_cpu_time_agrees_with_the_kernel() -> None:
    _busy, total = system.cpu_time()
    name, *fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    assert name == "cpu"
    assert total == pytest.approx(sum(map(int, fields[:8])) / TICKS, rel=0.01)


def test_cpu_percent_is_the_share_between_two_readings() -> None:
    assert system.cpu_percent(system.CpuTime(100, 1000), system.CpuTime(175, 1100)) == 75.0


KIB = 1024
WHOLE = system.Memory(32000 * KIB, 8000 * KIB, 24000 * KIB, 25.0, 25.0)


def meminfo(tmp_path: Path, text: str) -> system.Memory:
    path = tmp_path / "meminfo"
    path.write_text(text, encoding="ascii")
    return system.memory(str(path))


def without(*names: str) -> str:
    return "".join(line for line in MEMINFO.splitlines(True) if not line.startswith(names))


def test_memory_in_use_is_all_that_is_not_available(tmp_path: Path) -> None:
    assert meminfo(tmp_path, MEMINFO) == WHOLE


def test_memory_without_swap_uses_none_of_it(tmp_path: Path) -> None:
    text = MEMINFO.replace("8000 kB", "0 kB").replace("6000 kB", "0 kB")
    assert meminfo(tmp_path, text).swap_used_percent == 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(without("MemFree"), WHOLE, id="nothing needs MemFree"),
        pytest.param(without("Buffers", "Cached", "Active", "Shmem", "Huge"), WHOLE, id="nor these"),
        pytest.param(without("SwapFree"), WHOLE._replace(swap_used_percent=None), id="half of the swap"),
        pytest.param(without("MemTotal"), system.Memory(None, None, 24000 * KIB, None, 25.0), id="no total"),
        pytest.param(
            without("MemAvailable"),
            system.Memory(32000 * KIB, 31000 * KIB, 1000 * KIB, 96.9, 25.0),
            id="an old kernel",
        ),
        pytest.param(
            without("MemAvailable", "MemFree"),
            system.Memory(32000 * KIB, None, None, None, 25.0),
            id="only a total",
        ),
        pytest.param(MEMINFO + "\n\nDirectMap4k: none kB\nX\n", WHOLE, id="lines that are none"),
        pytest.param(
            MEMINFO.replace("24000 kB", "99999999999999999999 kB"),
            WHOLE._replace(used_bytes=0, available_bytes=32000 * KIB, used_percent=0.0),
            id="more than there is",
        ),
        pytest.param("", system.Memory(*[None] * 5), id="nothing"),
    ],
)
def test_memory_misses_only_what_a_line_is_needed_for(
    text: str, expected: system.Memory, tmp_path: Path
) -> None:
    """prometheus/procfs has such files; psutil raises KeyError for some of them."""
    assert meminfo(tmp_path, text) == expected


def test_memory_in_a_container_is_never_negative(tmp_path: Path) -> None:
    """aristocratos/btop issue 473: with lxcfs the machine's own memory is available, above the limit."""
    memory = meminfo(tmp_path, "MemTotal: 1048576 kB\nMemFree: 1331681 kB\nMemAvailable: 1331681 kB\n")
    assert (memory.used_bytes, memory.used_percent, memory.available_bytes) == (0, 0.0, 1048576 * KIB)


def test_memory_agrees_with_psutil() -> None:
    memory, stated = system.memory(), psutil.virtual_memory()
    assert memory.total_bytes == stated.total
    assert memory.available_bytes == pytest.approx(stated.available, rel=0.05)
    assert memory.swap_used_percent == pytest.approx(psutil.swap_memory().percent, abs=1)


def test_pressure_some_avg60_is_the_share_of_a_minute_in_which_some_task_stalled() -> None:
    text = (
        "some avg10=1.00 avg60=12.34 avg300=0.50 total=123\nfull avg10=9.00 avg60=9.99 avg300=9.00 total=9\n"
    )
    assert system.pressure_some_avg60(text) == 12.34


@pytest.mark.usefixtures("procfs")
def test_network_traffic_counts_real_interfaces_and_no_bridges() -> None:
    traffic = system.network_traffic({"wlp0s20f3", "eth0", "gone0"})
    assert traffic == {"eth0": (300, 40), "wlp0s20f3": (1000, 200)}


@pytest.mark.usefixtures("procfs")
def test_network_traffic_of_a_container_is_that_of_its_virtual_interfaces() -> None:
    assert sorted(system.network_traffic(frozenset())) == ["docker0", "eth0", "wlp0s20f3"]


def test_network_traffic_is_the_kernels_own_number_after_a_reset(procfs: Callable[..., None]) -> None:
    """psutil would add up the numbers before and after an interface was reset."""
    assert system.network_traffic({"eth0"}) == {"eth0": (300, 40)}
    procfs(net_dev=NET_DEV.replace("eth0:300", "eth0:7"))
    assert system.network_traffic({"eth0"}) == {"eth0": (7, 40)}


@pytest.mark.usefixtures("procfs")
def test_disk_traffic_counts_a_disk_once_without_its_partitions() -> None:
    assert system.disk_traffic({"nvme0n1"}) == {"nvme0n1": (2000 * 512, 4000 * 512)}


def test_disk_space_agrees_with_df(tmp_path: Path) -> None:
    shown = subprocess.run(
        ["df", "-B1", "--output=size,used,avail", tmp_path], capture_output=True, text=True, check=True
    )
    size, used, free = (int(field) for field in shown.stdout.splitlines()[1].split())
    space = system.disk_space(str(tmp_path))
    assert space.total == size
    # Other programs write meanwhile.
    assert space.used == pytest.approx(used, abs=64 * 1024**2)
    assert space.free == pytest.approx(free, abs=64 * 1024**2)


def test_process_use_agrees_with_ps() -> None:
    busy = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    )
    try:
        assert busy.stdout is not None
        busy.stdout.readline()
        time.sleep(2)
        use = system.process_use(busy.pid)
        shown = subprocess.check_output(["ps", "-p", str(busy.pid), "-o", "%cpu=,rss="], text=True).split()
    finally:
        busy.kill()
        busy.communicate()
    assert use.cpu_percent > 20
    assert use.cpu_percent == pytest.approx(float(shown[0]), abs=25), "ps counts whole seconds"
    assert use.memory_bytes == pytest.approx(int(shown[1]) * 1024, rel=0.1)


def test_process_use_of_an_ended_process_fails_so_that_a_sample_survives() -> None:
    with pytest.raises((OSError, ValueError, LookupError)):
        system.process_use(2**22 + 1)


def test_hardware_has_a_device_behind_it(tmp_path: Path) -> None:
    (tmp_path / "eth0" / "device").mkdir(parents=True)
    (tmp_path / "docker0").mkdir()
    assert system.hardware(str(tmp_path)) == {"eth0"}


ZONE, CHIP = "thermal/thermal_zone", "hwmon/hwmon"


@pytest.mark.parametrize(
    ("files", "hottest"),
    [
        pytest.param({}, None, id="no sensor"),
        pytest.param({f"{ZONE}0/temp": "45000", f"{ZONE}1/temp": "71500"}, 71.5, id="zones"),
        pytest.param({f"{ZONE}0/temp": "45000", f"{ZONE}1/mode": "disabled"}, 45, id="a zone asleep"),
        pytest.param({f"{ZONE}0/temp": "?", "thermal/cooling_device0/temp": "99000"}, None, id="no number"),
        pytest.param(
            {f"{CHIP}0/temp1_input": "61000", f"{CHIP}1/temp1_input": "72000", f"{ZONE}0/temp": "60000"},
            72,
            id="chips",
        ),
        pytest.param(
            {f"{CHIP}0/temp1_input": "61000", f"{CHIP}0/temp2_label": "asleep"}, 61, id="a chip asleep"
        ),
        pytest.param({f"{ZONE}0/temp": "-650788984"}, None, id="firmware without an answer"),
        pytest.param({f"{ZONE}0/temp": "-20000"}, -20, id="frost"),
        pytest.param({f"{CHIP}0/temp1_input": "-274000", f"{CHIP}0/temp2_input": "0"}, 0, id="below zero"),
        pytest.param(
            {f"{CHIP}0/temp1_input": "127000", f"{CHIP}0/temp2_input": "61000"},
            61,
            id="an input without a sensor",
        ),
    ],
)
def test_hottest_celsius_is_that_of_the_hottest_sensor(
    files: dict[str, str],
    hottest: float | None,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = tmp_path_factory.mktemp("sys")  # psutil takes "_" in a path for the end of a sensor's name
    for name, text in files.items():
        path = root / "class" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="ascii")
        # What a sensor is called: psutil skips one without a name.
        (path.parent / "name").write_text("chip\n", encoding="ascii")
        (path.parent / "type").write_text("zone\n", encoding="ascii")
    # psutil has no setting for the place of /sys, as it has one for /proc.
    rooted = SimpleNamespace(glob=lambda pattern: glob.glob(pattern.replace("/sys", str(root), 1)))
    monkeypatch.setattr(psutil._pslinux, "glob", rooted)
    if hottest is None:
        with pytest.raises((ValueError, LookupError)):
            system.hottest_celsius()
    else:
        assert system.hottest_celsius() == hottest


@pytest.mark.parametrize(
    ("read", "files"),
    [
        pytest.param(system.cpu_time, {"stat": "intr 1 2 3\n"}, id="cpu"),
        pytest.param(lambda: system.network_traffic({"eth0"}), {"net_dev": "a\nb\neth0 1 2\n"}, id="network"),
        pytest.param(lambda: system.disk_traffic({"sda"}), {}, id="no disk of ours"),
        pytest.param(lambda: system.disk_traffic({"sda"}), {"diskstats": "8 0 sda\n"}, id="half a line"),
        pytest.param(lambda: system.pressure_some_avg60("full avg60=1.0\n"), {}, id="pressure"),
    ],
)
def test_a_reading_of_a_damaged_text_fails_so_that_a_sample_survives(
    read: Callable[[], object], files: dict[str, str], procfs: Callable[..., None]
) -> None:
    procfs(**files)
    with pytest.raises((OSError, ValueError, LookupError)):
        read()


_WITHOUT_PSUTIL = """
import json, sys
sys.modules["psutil"] = None  # an import of it raises ImportError
sys.path.insert(0, sys.argv[1])
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import run
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.sample import Target, take_samples
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.sources import machine
place = sys.argv[2]
target = Target(place, place, place, [place], "http://127.0.0.1:1")
print(json.dumps(next(take_samples(target, machine(run), 1, 0))))
"""
_WITH_PSUTIL = _WITHOUT_PSUTIL.replace('sys.modules["psutil"] = None', "pass")
_FED_BY_PSUTIL = {
    *(
        "cpu_percent",
        "disk_total_bytes",
        "disk_used_bytes",
        "disk_used_percent",
        "disk_free_bytes",
        "interfaces",
        "disks",
    ),
    *("network_rx_bytes", "network_tx_bytes", "disk_read_bytes", "disk_written_bytes"),
}


def _sampled(code: str, place: Path) -> dict[str, object]:
    root = Path(system.__file__).parents[6]
    words = [sys.executable, "-c", code, str(root), str(place)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    sample: dict[str, object] = json.loads(done.stdout)
    return sample


def test_a_sample_without_psutil_names_what_is_unavailable(tmp_path: Path) -> None:
    without, with_it = (_sampled(code, tmp_path) for code in (_WITHOUT_PSUTIL, _WITH_PSUTIL))
    named = without["unavailable"]
    assert isinstance(named, list)
    assert set(named) >= _FED_BY_PSUTIL
    assert {key for key, value in without.items() if value is None} == set(named)
    # What this machine cannot tell anyway (disks in a container, pressure) is the only other gap.
    others = with_it["unavailable"]
    assert isinstance(others, list)
    assert set(named) - _FED_BY_PSUTIL == set(others) - _FED_BY_PSUTIL
    assert isinstance(without["load_1m"], float)
    assert without["cpu_count"] == os.cpu_count()
