"""Which processes belong to which runner instance, and what its unit says of itself.

A process belongs to an instance when the kernel has it in that unit's control group; a job cannot forge this.
What it is there, listener or worker, is told by the program of the instance's own directory that it runs.

What the kernel accounts to the control group of each runner, read from the files of cgroup v2.

Format: the kernel's Documentation/admin-guide/cgroup-v2.rst. Asking systemd would cost a process each time.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from ..runner.layout import instance_unit
from ..runner.worker import WORKER, Process
from .system import percent

if TYPE_CHECKING:
    from ..host.process import Run

LISTENER = "Runner.Listener"

_PROPERTIES = "Id,ActiveState,CPUUsageNSec,MemoryCurrent"
# systemd's word for a counter that it does not keep, besides "[not set]": systemctl(1).
_NOT_KEPT = 2**64 - 1
# What of an instance's description comes from systemd, and is null where it is silent.
UNIT_KEYS = ("unit_active", "cpu_percent", "memory_bytes")


class Unit(NamedTuple):
    """What is accounted to one unit since it started, and what runs in it; None where nobody tells."""

    active: bool
    cpu_nanoseconds: Optional[int] = None
    memory_bytes: Optional[int] = None
    pids: Optional[tuple[int, ...]] = None
    oom_kills: Optional[int] = None


def read_units(run: Run, names: Sequence[str]) -> dict[str, Unit]:
    """Return what systemd accounts to the instances ``names``, by unit; raises CiError when it is silent."""
    from ..host import systemd  # only where the kernel's own files do not tell

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
    processes: Sequence[Process],
    units: Mapping[str, Unit],
    busy_share: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Return one dictionary per instance, in the order of ``names``.

    ``busy_share`` is the percent of all cores that each unit used since the last reading, by unit name.
    """
    found = []
    for name in names:
        own = _programs(name, base_dir, processes)
        found.append(
            {
                "name": name,
                "listener_pid": own.get(LISTENER),
                "worker_pid": own.get(WORKER),
                "busy": WORKER in own,
                **_accounts(units.get(instance_unit(name)), busy_share.get(instance_unit(name))),
            }
        )
    return found


def _accounts(unit: Optional[Unit], share: Optional[float]) -> dict[str, Any]:
    """Return UNIT_KEYS of one instance; a unit at rest uses nothing, whatever systemd still remembers."""
    if unit is None:
        return dict.fromkeys(UNIT_KEYS)
    if not unit.active:
        return {"unit_active": False, "cpu_percent": 0.0, "memory_bytes": 0}
    return {"unit_active": True, "cpu_percent": share, "memory_bytes": unit.memory_bytes}


def _programs(name: str, base_dir: str, processes: Sequence[Process]) -> dict[str, int]:
    """Return the process id of the listener and the worker of instance ``name``, the lowest of several."""
    own: dict[str, int] = {}
    for process in sorted(processes):
        if _in_unit(process.cgroup, instance_unit(name)):
            program = _runner_program(process.arguments, f"{base_dir}/{name}/")
            if program:
                own.setdefault(program, process.pid)
    return own


def _in_unit(cgroup: str, unit: str) -> bool:
    """Return whether a line of /proc/PID/cgroup (``id:controllers:/path``) lies in ``unit`` or below it."""
    return any(unit in line.split(":", 2)[-1].split("/") for line in cgroup.splitlines())


def _runner_program(arguments: Sequence[str], instance_dir: str) -> Optional[str]:
    """Return LISTENER or WORKER when ``arguments`` run it from the instance's ``bin``, else None.

    After an update of itself the directory is ``bin.<version>``. The second word counts too: a program that
    is a script has its interpreter in front.
    """
    for word in arguments[:2]:
        for program in (LISTENER, WORKER):
            if word.startswith(f"{instance_dir}bin") and word.endswith(f"/{program}"):
                return program
    return None


def busy_shares(
    before: Mapping[str, Unit], after: Mapping[str, Unit], seconds: float, cpu_count: int
) -> dict[str, float]:
    """Return the percent of all cores each unit used in ``seconds`` between two readings, by unit name."""
    shares = {}
    for name, unit in after.items():
        earlier = before.get(name)
        if earlier and earlier.cpu_nanoseconds is not None and unit.cpu_nanoseconds is not None:
            used_seconds = (unit.cpu_nanoseconds - earlier.cpu_nanoseconds) / 1e9
            shares[name] = percent(used_seconds, seconds * cpu_count)
    return shares


ROOT = "/sys/fs/cgroup"
_SLICE = ".slice"
# Slices lie in slices by the dashes of their names; nobody nests them deeper.
_DEEPEST = 6


class Groups:
    """Finds the groups of units below ``root`` and reads them; remembers where each was found."""

    def __init__(self, text: Callable[[str], str], root: str = ROOT, init_group: str = "/") -> None:
        self._text = text
        self._root = os.path.join(root, init_group.strip("/")).rstrip("/")
        self._found: dict[str, str] = {}

    def units(self, units: Sequence[str]) -> dict[str, Unit]:
        """Return how each of ``units`` is; one without a group does not run."""
        read = {unit: self._unit(unit) for unit in units}
        missing = [unit for unit, found in read.items() if found is None]
        if missing:
            self._found.update(find(self._root, missing))
            read.update({unit: self._unit(unit) for unit in missing})
        return {unit: found or Unit(False, 0, 0, (), 0) for unit, found in read.items()}

    def _unit(self, unit: str) -> Optional[Unit]:
        path = self._found.get(unit)
        if path is None:
            return None
        try:
            pids = tuple(sorted(self._pids(path)))
        except OSError:
            del self._found[unit]
            return None
        return Unit(
            active=bool(pids),
            cpu_nanoseconds=self._keyed(path, "cpu.stat", "usage_usec", 1000),
            memory_bytes=self._number(path, "memory.current"),
            pids=pids,
            oom_kills=self._keyed(path, "memory.events", "oom_kill"),
        )

    def _pids(self, path: str) -> Iterator[int]:
        # Those of another process namespace are shown as 0.
        yield from filter(None, map(int, self._text(f"{path}/cgroup.procs").split()))
        if self._keyed(path, "cgroup.stat", "nr_descendants"):
            for below in _directories(path):
                yield from self._pids(below)

    def _keyed(self, path: str, file: str, key: str, unit: int = 1) -> Optional[int]:
        try:
            return (
                int(dict(line.split(" ", 1) for line in self._text(f"{path}/{file}").splitlines())[key])
                * unit
            )
        except (OSError, ValueError, KeyError):
            return None

    def _number(self, path: str, file: str) -> Optional[int]:
        try:
            return int(self._text(f"{path}/{file}"))
        except (OSError, ValueError):
            return None


def find(root: str, units: Collection[str], depth: int = _DEEPEST) -> dict[str, str]:
    """Return the directory of each of ``units`` that has a group in ``root`` or in the slices below it."""
    found = {}
    for path in _directories(root):
        name = os.path.basename(path)
        if name in units:
            found[name] = path
        elif name.endswith(_SLICE) and depth:
            found.update(find(path, units, depth - 1))
    return found


def _directories(path: str) -> list[str]:
    """Return the directories in ``path``; a group may go at any moment, and then there are none."""
    try:
        with os.scandir(path) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def init_group(cgroup: str) -> Optional[str]:
    """Return the group that systemd began with, from /proc/1/cgroup; None where it is not of cgroup v2.

    In a container that sees the host's groups this is the container's own.
    """
    lines = cgroup.splitlines()
    if len(lines) != 1 or not lines[0].startswith("0::/"):
        return None
    return lines[0][len("0::") :].rpartition("/init.scope")[0] or "/"
