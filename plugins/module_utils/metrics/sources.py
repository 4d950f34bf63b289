"""Where a sample comes from: the only part of the metrics that touches the machine.

Everything is a field with a callable, so that a test can put another one in its place. A program that goes on
keeps what may be kept between two samples, by ``resident``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Callable, NamedTuple

from ..runner.layout import instance_unit
from ..runner.worker import Process, first_arguments, processes
from . import instances
from .instances import Unit, read_units
from .kept import KeptFiles
from .probe import reachable
from .sizes import InBackground, StoreBooks, StoreSizes

if TYPE_CHECKING:
    from ..host.process import Run


class DiskSpace(NamedTuple):
    """Bytes of a file system: all, used, and free for those who are not root."""

    total: int
    used: int
    free: int


class Sources(NamedTuple):
    """How to read the machine. Each raises ``OSError`` for what cannot be read."""

    units: Callable[[Sequence[str]], Mapping[str, Unit]]
    text: Callable[[str], str]
    names: Callable[[str], list[str]]
    hardware: Callable[[str], frozenset[str]]
    processes: Callable[[Mapping[str, Unit]], list[Process]]
    disk_space: Callable[[str], DiskSpace]
    store_sizes: Callable[[str], StoreSizes]
    tree_bytes: Callable[[Sequence[str]], int]
    reachable: Callable[[str], bool]
    cpu_count: Callable[[], int] = lambda: os.cpu_count() or 1
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def machine(run: Run) -> Sources:
    """Return the sources that read this machine once; ``run`` starts systemctl where the kernel is silent."""
    return Sources(
        units=unit_reader(run, read_text),
        text=read_text,
        names=os.listdir,
        hardware=hardware,
        processes=runner_processes,
        disk_space=disk_space,
        store_sizes=StoreBooks().sizes,
        tree_bytes=tree_bytes,
        reachable=reachable,
    )


def resident(run: Run, reachable: Callable[[str], bool]) -> Sources:
    """Return the sources of a program that goes on: files stay open, and nobody waits for a size."""
    kept = KeptFiles().text
    return machine(run)._replace(
        units=unit_reader(run, kept),
        text=kept,
        tree_bytes=InBackground(tree_bytes),
        reachable=reachable,
    )


def unit_reader(run: Run, text: Callable[[str], str]) -> Callable[[Sequence[str]], Mapping[str, Unit]]:
    """Return what reads the units of instances: their control groups, with the old hierarchy systemd."""
    try:
        group = instances.init_group(text("/proc/1/cgroup"))
    except OSError:
        group = None
    if group is None or not os.path.exists(f"{instances.ROOT}/cgroup.procs"):
        return lambda names: read_units(run, names)
    groups = instances.Groups(text, init_group=group)
    return lambda names: groups.units([instance_unit(name) for name in names])


def runner_processes(units: Mapping[str, Unit]) -> list[Process]:
    """Return the processes of ``units``, by name; all of the machine where it is not known which they are."""
    if not units or any(unit.pids is None for unit in units.values()):
        return list(processes())
    return list(_members(units))


def _members(units: Mapping[str, Unit]) -> Iterable[Process]:
    for name, unit in units.items():
        for pid in unit.pids or ():
            arguments = first_arguments(pid)
            if arguments:
                yield Process(pid, arguments[0], arguments, f"0::/{name}")


def read_text(path: str) -> str:
    """Return the content of ``path``."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def hardware(class_dir: str) -> frozenset[str]:
    """Return the names in ``class_dir`` (/sys/class/net, /sys/block) that a device stands behind."""
    return frozenset(name for name in os.listdir(class_dir) if os.path.exists(f"{class_dir}/{name}/device"))


def disk_space(path: str) -> DiskSpace:
    """Return the space of the file system that ``path`` is on, as df(1) counts it."""
    found = os.statvfs(path)
    return DiskSpace(
        total=found.f_blocks * found.f_frsize,
        used=(found.f_blocks - found.f_bfree) * found.f_frsize,
        free=found.f_bavail * found.f_frsize,
    )


def tree_bytes(roots: Sequence[str]) -> int:
    """Return what the trees at ``roots`` take on the disk, as ``du --dereference-args`` counts it.

    A root may be a symbolic link; links inside a tree are not followed, and a file with several names counts
    once. What disappears meanwhile is left out. Raises ``OSError`` when a root is missing.
    """
    seen: set[tuple[int, int]] = set()
    return sum(_tree_bytes(os.path.realpath(root), seen) for root in roots)


def _tree_bytes(root: str, seen: set[tuple[int, int]]) -> int:
    total = _new_bytes(os.lstat(root), seen)
    pending = [root]
    while pending:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    total += _new_bytes(entry.stat(follow_symlinks=False), seen)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
    return total


def _new_bytes(status: os.stat_result, seen: set[tuple[int, int]]) -> int:
    inode = (status.st_dev, status.st_ino)
    if inode in seen:
        return 0
    seen.add(inode)
    # st_blocks counts in 512 bytes whatever the file system's block is: stat(2).
    return status.st_blocks * 512
