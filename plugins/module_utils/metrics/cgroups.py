"""What the kernel accounts to the control group of each runner, read from the files of cgroup v2.

Format: the kernel's Documentation/admin-guide/cgroup-v2.rst. Asking systemd would cost a process each time.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from typing import Callable, Optional

from .instances import Unit

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
