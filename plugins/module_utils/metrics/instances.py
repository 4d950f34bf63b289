"""The runner instances: listener, worker, and the use of resources of each unit.

The accounts come from the files of cgroup v2, because systemctl would cost a process for each sample. Format:
the kernel's Documentation/admin-guide/cgroup-v2.rst. runner/worker.py decides which process is an
instance's listener or worker.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from ..runner.layout import instance_unit
from ..runner.worker import Process, programs
from .system import percent

if TYPE_CHECKING:
    from ..host.process import Run

_PROPERTIES = "Id,ActiveState,CPUUsageNSec,MemoryCurrent"
# What systemd shows for a counter that it does not keep, apart from "[not set]": systemctl(1).
_NOT_KEPT = 2**64 - 1
# The keys of an instance that come from its unit; null when the unit's accounts cannot be read.
UNIT_KEYS = ("unit_active", "cpu_percent", "memory_bytes")


class Unit(NamedTuple):
    """What is accounted to one unit since it started, and its processes.

    None if unknown.
    """

    active: bool
    cpu_nanoseconds: Optional[int] = None
    memory_bytes: Optional[int] = None
    pids: Optional[tuple[int, ...]] = None


def read_units(run: Run, names: Sequence[str]) -> dict[str, Unit]:
    """Return what systemd accounts to the instances ``names``, by unit.

    Raises CiError when systemd does not answer.
    """
    from ..host import systemd  # needed only on a machine without cgroup v2

    shown = systemd.show(run, [instance_unit(name) for name in names], _PROPERTIES)
    return {
        unit: Unit(
            active=properties.running,
            cpu_nanoseconds=_accounted(properties.get("CPUUsageNSec", "")),
            memory_bytes=_accounted(properties.get("MemoryCurrent", "")),
        )
        for unit, properties in shown.items()
    }


def _accounted(value: str) -> Optional[int]:
    return int(value) if value.isdigit() and int(value) != _NOT_KEPT else None


def describe(
    names: Iterable[str],
    base_dir: str,
    processes: Iterable[Process],
    units: Mapping[str, Unit],
    busy_share: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Return one dictionary per instance, in the order of ``names``.

    ``busy_share`` is the percent of all cores that each unit used since the last reading, by unit name.
    """
    everything = list(processes)
    described = []
    for name in names:
        unit = instance_unit(name)
        listeners, workers = programs(everything, f"{base_dir}/{name}", unit)
        listener, worker = min(listeners, default=None), min(workers, default=None)
        described.append(
            {
                "name": name,
                "listener_pid": listener,
                "worker_pid": worker,
                "busy": worker is not None,
                **_accounts(units.get(unit), busy_share.get(unit)),
            }
        )
    return described


def _accounts(unit: Optional[Unit], share: Optional[float]) -> dict[str, Any]:
    """Return UNIT_KEYS of one instance.

    A unit at rest uses nothing, even if systemd remembers sums.
    """
    if unit is None:
        return dict.fromkeys(UNIT_KEYS)
    if not unit.active:
        return {"unit_active": False, "cpu_percent": 0.0, "memory_bytes": 0}
    return {"unit_active": True, "cpu_percent": share, "memory_bytes": unit.memory_bytes}


def busy_shares(
    before: Mapping[str, Unit], after: Mapping[str, Unit], seconds: float, cpu_count: int
) -> dict[str, float]:
    """Return the percent of all cores each unit used between two readings.

    ``seconds`` is the time between them. The result is by unit name.
    """
    shares = {}
    for name, unit in after.items():
        earlier = before.get(name)
        if earlier and earlier.cpu_nanoseconds is not None and unit.cpu_nanoseconds is not None:
            used_seconds = (unit.cpu_nanoseconds - earlier.cpu_nanoseconds) / 1e9
            shares[name] = percent(used_seconds, seconds * cpu_count)
    return shares


ROOT = "/sys/fs/cgroup"
_SLICE = ".slice"
# A slice is inside another one for each dash of its name; real hosts need no more than this.
_DEEPEST = 6


class Groups:
    """The control groups of units below ``root``. Remembers the place of each."""

    def __init__(self, text: Callable[[str], str], root: str, init_group: str = "/") -> None:
        self._text = text
        self._root = os.path.join(root, init_group.strip("/")).rstrip("/")
        self._places: dict[str, str] = {}

    def units(self, units: Sequence[str]) -> dict[str, Unit]:
        """Return each of ``units``; a unit without a group does not run."""
        read = {unit: self._unit(unit) for unit in units}
        missing = [name for name, unit in read.items() if unit is None]
        if missing:
            self._places.update(find(self._root, missing))
            read.update({name: self._unit(name) for name in missing})
        return {name: unit or Unit(False, 0, 0, ()) for name, unit in read.items()}

    def _unit(self, unit: str) -> Optional[Unit]:
        path = self._places.get(unit)
        if path is None:
            return None
        try:
            pids = tuple(sorted(self._pids(path)))
        except OSError:
            del self._places[unit]
            return None
        return Unit(
            active=bool(pids),
            cpu_nanoseconds=self._keyed(path, "cpu.stat", "usage_usec", 1000),
            memory_bytes=self._number(path, "memory.current"),
            pids=pids,
        )

    def _pids(self, path: str) -> Iterator[int]:
        # A process of another process namespace is shown as 0.
        yield from filter(None, map(int, self._text(f"{path}/cgroup.procs").split()))
        if self._keyed(path, "cgroup.stat", "nr_descendants"):
            for below in _directories(path):
                yield from self._pids(below)

    def _keyed(self, path: str, file: str, key: str, factor: int = 1) -> Optional[int]:
        try:
            values = dict(line.split(" ", 1) for line in self._text(f"{path}/{file}").splitlines())
            return int(values[key]) * factor
        except (OSError, ValueError, KeyError):
            return None

    def _number(self, path: str, file: str) -> Optional[int]:
        try:
            return int(self._text(f"{path}/{file}"))
        except (OSError, ValueError):
            return None


def find(root: str, units: Collection[str], depth: int = _DEEPEST) -> dict[str, str]:
    """Return the group's directory of each of ``units`` in ``root`` or its slices."""
    places = {}
    for path in _directories(root):
        name = os.path.basename(path)
        if name in units:
            places[name] = path
        elif name.endswith(_SLICE) and depth:
            places.update(find(path, units, depth - 1))
    return places


def _directories(path: str) -> list[str]:
    """Return the directories in ``path``, or none.

    A group may disappear at any moment.
    """
    try:
        with os.scandir(path) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def init_group(cgroup: str) -> Optional[str]:
    """Return the group in which systemd started, from /proc/1/cgroup.

    None unless it is cgroup v2. In a container that sees the host's groups this is the container's own.
    """
    lines = cgroup.splitlines()
    if len(lines) != 1 or not lines[0].startswith("0::/"):
        return None
    return lines[0][len("0::") :].rpartition("/init.scope")[0] or "/"
