"""Where a sample comes from: the part of the metrics that touches the machine.

Each source is a callable, so that a test can replace it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Callable, NamedTuple

from ..runner.layout import instance_unit
from ..runner.worker import Process, processes, read_process
from . import instances, system
from .instances import Unit, read_units
from .kept import KeptFiles
from .probe import reachable
from .sizes import InBackground, StoreBooks, StoreSizes, tree_bytes

if TYPE_CHECKING:
    from ..host.process import Run


class Sources(NamedTuple):
    """How to read the machine.

    Each source raises ``OSError``, ``ValueError`` or ``LookupError`` for a failure.
    """

    units: Callable[[Sequence[str]], Mapping[str, Unit]]
    text: Callable[[str], str]
    names: Callable[[str], list[str]]
    processes: Callable[[Mapping[str, Unit]], list[Process]]
    store_sizes: Callable[[str], StoreSizes]
    tree_bytes: Callable[[Sequence[str]], int]
    reachable: Callable[[str], bool]
    load_1m: Callable[[], float] = system.load_1m
    cpu_time: Callable[[], system.CpuTime] = system.cpu_time
    memory: Callable[[], system.Memory] = system.memory
    disk_space: Callable[[str], system.DiskSpace] = system.disk_space
    network_traffic: Callable[[], Mapping[str, system.Traffic]] = lambda: system.network_traffic(
        system.hardware("/sys/class/net")
    )
    disk_traffic: Callable[[], Mapping[str, system.Traffic]] = lambda: system.disk_traffic(
        system.hardware("/sys/block")
    )
    process_use: Callable[[int], system.ProcessUse] = system.process_use
    cpu_count: Callable[[], int] = lambda: os.cpu_count() or 1
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def machine(run: Run) -> Sources:
    """Return the sources that read this machine once.

    ``run`` starts systemctl on a machine without control groups of version 2.
    """
    return Sources(
        units=unit_reader(run, read_text),
        text=read_text,
        names=os.listdir,
        processes=runner_processes,
        store_sizes=StoreBooks().sizes,
        tree_bytes=tree_bytes,
        reachable=reachable,
    )


def resident(run: Run, reachable: Callable[[str], bool]) -> Sources:
    """Return the sources of a service.

    It keeps files open, and it does not wait for a size.
    """
    kept = KeptFiles().text
    return machine(run)._replace(
        units=unit_reader(run, kept),
        text=kept,
        tree_bytes=InBackground(tree_bytes),
        reachable=reachable,
    )


def unit_reader(run: Run, text: Callable[[str], str]) -> Callable[[Sequence[str]], Mapping[str, Unit]]:
    """Return a reader of the instances' units.

    From their control groups, or from systemctl.
    """
    try:
        group = instances.init_group(text("/proc/1/cgroup"))
    except OSError:
        group = None
    if group is None or not os.path.exists(f"{instances.ROOT}/cgroup.procs"):
        return lambda names: read_units(run, names)
    groups = instances.Groups(text, instances.ROOT, group)
    return lambda names: groups.units([instance_unit(name) for name in names])


def runner_processes(units: Mapping[str, Unit]) -> list[Process]:
    """Return the processes of ``units``, or all processes if a unit's are unknown.

    A runner that a person started by hand is in no unit and thus only in the second list.
    """
    if not units or any(unit.pids is None for unit in units.values()):
        return list(processes())
    return list(_members(units))


def _members(units: Mapping[str, Unit]) -> Iterator[Process]:
    for name, unit in units.items():
        for pid in unit.pids or ():
            yield from read_process(pid, cgroup=f"0::/{name}")


def read_text(path: str) -> str:
    """Return the content of ``path``."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
