"""Which processes belong to which runner instance, and what its unit says of itself.

A process belongs to an instance when the kernel has it in that unit's control group; a job cannot forge this.
What it is there, listener or worker, is told by the program of the instance's own directory that it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from ..runner.naming import instance_unit
from ..runner.worker import WORKER, Process
from .system import percent

if TYPE_CHECKING:
    from ..process import Run

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
    from .. import systemd  # only where the kernel's own files do not tell

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
