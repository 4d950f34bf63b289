"""Pure readings of the kernel's text files: what goes in is their content, what comes out has units.

Every function raises ``ValueError`` or ``LookupError`` when the text is not what the kernel writes.
Formats: proc(5) and the kernel's Documentation/accounting/psi.rst.
"""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

# The unit of /proc/diskstats, whatever the device's own sector size is.
SECTOR_BYTES = 512

# Fields of the "cpu" line of /proc/stat that are time not worked: idle and iowait.
_IDLE_FIELDS = (3, 4)
# guest and guest_nice come after these and are contained in user and nice already.
_COUNTED_FIELDS = 8


class CpuTime(NamedTuple):
    """Clock ticks of all cores together since boot: worked, and worked or idle."""

    busy: int
    total: int


class Memory(NamedTuple):
    """Main memory in bytes and swap in percent, as free(1) of procps 4: used is what is not available."""

    total_bytes: int
    used_bytes: int
    available_bytes: int
    used_percent: float
    swap_used_percent: float


class Traffic(NamedTuple):
    """Bytes in and out since boot: received and sent, or read and written."""

    inward: int
    outward: int


def percent(part: float, whole: float) -> float:
    """Return ``part`` of ``whole`` as 0 to 100 with one decimal; nothing of nothing is 0."""
    return round(min(100.0, max(0.0, 100.0 * part / whole)), 1) if whole > 0 else 0.0


def load_1m(loadavg: str) -> float:
    """Return the mean number of running or waiting tasks over a minute, from /proc/loadavg."""
    return float(loadavg.split()[0])


def cpu_time(stat: str) -> CpuTime:
    """Return the time of all cores from /proc/stat."""
    name, *fields = stat.splitlines()[0].split()
    if name != "cpu":
        raise ValueError(f"the first line of /proc/stat begins with {name!r}")
    ticks = [int(field) for field in fields[:_COUNTED_FIELDS]]
    total = sum(ticks)
    return CpuTime(total - sum(ticks[index] for index in _IDLE_FIELDS), total)


def cpu_percent(before: CpuTime, after: CpuTime) -> float:
    """Return the share of all cores that was worked between two readings."""
    return percent(after.busy - before.busy, after.total - before.total)


def memory(meminfo: str) -> Memory:
    """Return memory and swap from /proc/meminfo."""
    kib = {name: int(rest.split()[0]) for name, rest in (line.split(":", 1) for line in meminfo.splitlines())}
    total, available = kib["MemTotal"], kib["MemAvailable"]
    used = total - available
    swap_total = kib["SwapTotal"]
    return Memory(
        total_bytes=total * 1024,
        used_bytes=used * 1024,
        available_bytes=available * 1024,
        used_percent=percent(used, total),
        swap_used_percent=percent(swap_total - kib["SwapFree"], swap_total),
    )


def pressure_some_avg60(pressure: str) -> float:
    """Return the percent of the last minute in which some task stalled, from a file of /proc/pressure."""
    for line in pressure.splitlines():
        kind, *pairs = line.split()
        if kind == "some":
            return float(dict(pair.split("=", 1) for pair in pairs)["avg60"])
    raise ValueError("no line begins with 'some'")


def network_traffic(net_dev: str, hardware: Container[str]) -> Traffic:
    """Return the bytes over the interfaces in ``hardware``; where none is, over all but the loopback.

    The second half is for hosts that are containers: their only way out is a virtual interface. On a machine
    with real ones, bridges and the like would count the same bytes twice.
    """
    interfaces = {}
    for line in net_dev.splitlines()[2:]:
        name, counters = line.split(":", 1)
        fields = counters.split()
        interfaces[name.strip()] = Traffic(int(fields[0]), int(fields[8]))
    real = [traffic for name, traffic in interfaces.items() if name in hardware]
    chosen = real or [traffic for name, traffic in interfaces.items() if name != "lo"]
    return Traffic(sum(each.inward for each in chosen), sum(each.outward for each in chosen))


def disk_traffic(diskstats: str, hardware: Container[str]) -> Traffic:
    """Return the bytes read from and written to the disks in ``hardware``, from /proc/diskstats.

    Partitions, device mapper and loop devices are left out by ``hardware``: their bytes are their disk's.
    """
    rows = [line.split() for line in diskstats.splitlines()]
    chosen = [row for row in rows if row[2] in hardware]
    if not chosen:
        raise LookupError("no disk of this machine is in /proc/diskstats")
    return Traffic(
        sum(int(row[5]) for row in chosen) * SECTOR_BYTES,
        sum(int(row[9]) for row in chosen) * SECTOR_BYTES,
    )
