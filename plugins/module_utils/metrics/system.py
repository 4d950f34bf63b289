"""The machine as psutil reads it, and what psutil lacks: memory line by line, and the kernel's pressure.

The first reading imports psutil, and nothing else does: the import takes 20 ms, and a command that reads the
sampler's sample needs none of it. Only what psutil 5.9.0 of Ubuntu 22.04 has is used.

A reading raises ``OSError``, ``ValueError`` or ``LookupError`` when psutil is missing, or when the kernel's
text is not what it should be. Formats: proc(5), and the kernel's Documentation/accounting/psi.rst.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, Callable, NamedTuple, Optional, TypeVar

# The range of sensors in silicon. A board's chip reads 127 degrees at an input that has no sensor, and
# firmware without an answer gave -650788.984 (raspberrypi/firmware issue 133).
_COLDEST_CELSIUS, _NO_SENSOR_CELSIUS = -55.0, 125.0

T = TypeVar("T")


class CpuTime(NamedTuple):
    """Seconds of all cores together since boot: spent working, and all."""

    busy: float
    total: float


class Memory(NamedTuple):
    """Main memory in bytes, and swap in percent; None for what the kernel does not report.

    Used is what is not available.
    """

    total_bytes: Optional[int]
    used_bytes: Optional[int]
    available_bytes: Optional[int]
    used_percent: Optional[float]
    swap_used_percent: Optional[float]


class Traffic(NamedTuple):
    """Bytes since boot: received and sent, or read and written."""

    inward: int
    outward: int


class ProcessUse(NamedTuple):
    """The use of a process as ps(1) shows it: percent of one core since its start, and resident bytes."""

    cpu_percent: float
    memory_bytes: int


class DiskSpace(NamedTuple):
    """Bytes of a file system: all, used, and free for users who are not root."""

    total: int
    used: int
    free: int


def percent(part: float, whole: float) -> float:
    """Return ``part`` of ``whole`` as 0 to 100 with one decimal.

    0 when ``whole`` is 0.
    """
    return round(min(100.0, max(0.0, 100.0 * part / whole)), 1) if whole > 0 else 0.0


def ask_psutil(question: Callable[[Any], T]) -> T:
    """Return the answer of ``question``, which gets the module psutil."""
    try:
        import psutil
    except ImportError as error:
        raise LookupError("Python's psutil is not installed; install the package python3-psutil.") from error
    try:
        return question(psutil)
    # What psutil raises for a text that it does not understand, and on a machine that has no such thing.
    except (AssertionError, AttributeError, TypeError, NotImplementedError, psutil.Error) as error:
        raise ValueError(f"psutil cannot read this machine ({error!r}); update psutil.") from error


def load_1m() -> float:
    """Return the mean number of running or waiting tasks over a minute."""
    return os.getloadavg()[0]


def cpu_time() -> CpuTime:
    """Return the time of all cores. Waiting for disks is idle time."""
    times = ask_psutil(lambda psutil: psutil.cpu_times())
    # The kernel counts guest and guest_nice in user and nice already.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return CpuTime(total - times.idle - times.iowait, total)


def cpu_percent(before: CpuTime, after: CpuTime) -> float:
    """Return the share of all cores that worked between two readings."""
    return percent(after.busy - before.busy, after.total - before.total)


def memory(path: str = "/proc/meminfo") -> Memory:
    """Return memory and swap; a line that is missing costs only the values that need it.

    psutil fails as a whole without some of the lines. In a container with a limit, available memory is often
    the machine's and more than the total (lxcfs, btop issue 473).
    """
    with open(path, encoding="ascii", errors="replace") as stream:
        # Format: "MemTotal:       32000 kB". Counts without a unit are not read.
        found = dict(re.findall(r"^(\w+): +([0-9]+) kB$", stream.read(), re.MULTILINE))
    kib = {name: int(number) * 1024 for name, number in found.items()}
    total, available = kib.get("MemTotal"), kib.get("MemAvailable", kib.get("MemFree"))
    used = share = swap = None
    if total is not None and available is not None:
        available = min(available, total)
        used = total - available
        share = percent(used, total)
    if "SwapTotal" in kib and "SwapFree" in kib:
        swap = percent(kib["SwapTotal"] - kib["SwapFree"], kib["SwapTotal"])
    return Memory(total, used, available, share, swap)


def network_traffic(hardware: Collection[str]) -> dict[str, Traffic]:
    """Return the bytes over each interface in ``hardware``.

    When there are none, over all but the loopback. The second half is for hosts that are containers: their
    only way out is a virtual interface. On a machine with real ones, bridges and the like would count the
    same bytes twice.
    """
    # Without psutil's correction of counters that wrap: the sample has the kernel's own numbers.
    counters: Mapping[str, Any] = ask_psutil(lambda psutil: psutil.net_io_counters(pernic=True, nowrap=False))
    chosen = set(counters).intersection(hardware) or set(counters) - {"lo"}
    return {name: Traffic(counters[name].bytes_recv, counters[name].bytes_sent) for name in sorted(chosen)}


def disk_traffic(hardware: Collection[str]) -> dict[str, Traffic]:
    """Return the bytes read from and written to each disk in ``hardware``.

    ``hardware`` leaves out partitions, device mapper and loop devices: a disk counts their bytes already.
    """
    counters: Mapping[str, Any] = ask_psutil(
        lambda psutil: psutil.disk_io_counters(perdisk=True, nowrap=False)
    )
    chosen = sorted(set(counters).intersection(hardware))
    if not chosen:
        raise LookupError("no disk of this machine has counters")
    return {name: Traffic(counters[name].read_bytes, counters[name].write_bytes) for name in chosen}


def disk_space(path: str) -> DiskSpace:
    """Return the space of the file system that ``path`` is on, as df(1) counts it."""
    usage = ask_psutil(lambda psutil: psutil.disk_usage(path))
    return DiskSpace(usage.total, usage.used, usage.free)


def process_use(pid: int) -> ProcessUse:
    """Return the use of the process ``pid``."""

    def read(psutil: Any) -> ProcessUse:
        process = psutil.Process(pid)
        with process.oneshot():
            times, began, memory = process.cpu_times(), process.create_time(), process.memory_info()
        elapsed = max(time.time() - began, 1.0)
        return ProcessUse(round(100 * (times.user + times.system) / elapsed, 1), memory.rss)

    return ask_psutil(read)


def hottest_celsius() -> float:
    """Return the temperature of the hottest sensor with a possible reading.

    psutil reads the sensors of hwmon, or the thermal zones on a machine where hwmon has none.
    """
    chips: Mapping[str, Any] = ask_psutil(lambda psutil: psutil.sensors_temperatures())
    celsius = [float(sensor.current) for chip in chips.values() for sensor in chip]
    return max(each for each in celsius if _COLDEST_CELSIUS <= each < _NO_SENSOR_CELSIUS)


def hardware(class_dir: str) -> frozenset[str]:
    """Return the names in ``class_dir`` that have a device behind them.

    ``class_dir`` is /sys/class/net or /sys/block.
    """
    return _with_device(class_dir, tuple(os.listdir(class_dir)))


@lru_cache(maxsize=8)  # a sampler asks every few seconds, and only a change of names changes this
def _with_device(class_dir: str, names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name for name in names if os.path.exists(f"{class_dir}/{name}/device"))


def pressure_some_avg60(pressure: str) -> float:
    """Return the percent of the last minute in which some task stalled.

    ``pressure`` is the text of a file of /proc/pressure.
    """
    for line in pressure.splitlines():
        kind, *pairs = line.split()
        if kind == "some":
            return float(dict(pair.split("=", 1) for pair in pairs)["avg60"])
    raise ValueError("no line begins with 'some'")
