"""Who holds a lock file and who waits for it, as the kernel tells in /proc/locks.

Only for showing: the file may leave out what this process may not see (other containers), so nothing is
decided by it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .locking import mount_of

# "7: -> FLOCK  ADVISORY  WRITE 4711 fe:00:2376100 0 EOF", proc_locks(5); the arrow marks one that waits.
_LINE = re.compile(
    r"\d+: (?P<arrow>-> )?FLOCK\s+\w+\s+(?P<mode>READ|WRITE)\s+(?P<pid>-?\d+)\s+"
    r"(?P<major>[0-9a-f]+):(?P<minor>[0-9a-f]+):(?P<inode>\d+)\s"
)


class KernelLock(NamedTuple):
    """One flock, held or waited for. ``device`` is ``major:minor`` in decimal."""

    pid: int
    shared: bool
    waiting: bool
    device: str
    inode: int


def parse(text: str) -> list[KernelLock]:
    """Return the flocks in the ``text`` of /proc/locks; other kinds of lock are left out."""
    return [
        KernelLock(
            pid=int(match["pid"]),
            shared=match["mode"] == "READ",
            waiting=bool(match["arrow"]),
            device=f"{int(match['major'], 16)}:{int(match['minor'], 16)}",
            inode=int(match["inode"]),
        )
        for match in map(_LINE.match, text.splitlines())
        if match
    ]


def read_all() -> list[KernelLock]:
    """Return all flocks that this process may see; none where /proc/locks cannot be read."""
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as stream:
            return parse(stream.read())
    except OSError:
        return []


def devices_of(directory: str) -> set[str]:
    """Return what the kernel may call the device of files in ``directory``.

    On btrfs stat(2) gives the subvolume a number of its own, and /proc/locks that of the file system, which
    mountinfo knows.
    """
    number = os.stat(directory).st_dev
    return {f"{os.major(number)}:{os.minor(number)}", mount_of(directory)[0]} - {""}


def on_file(path: str, locks: Iterable[KernelLock], devices: set[str]) -> list[KernelLock]:
    """Return those of ``locks`` that are on the file ``path``; ``devices`` is of its directory."""
    try:
        inode = os.lstat(path).st_ino
    except OSError:
        return []
    return [lock for lock in locks if lock.inode == inode and lock.device in devices]


def command_of(pid: int) -> str:
    """Return the name of process ``pid``, empty when it is gone."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def shown(locks: Sequence[KernelLock]) -> str:
    """Return the processes behind ``locks`` for a sentence: "process 12 (python3)", or an unknown one."""
    pids = sorted({lock.pid for lock in locks if lock.pid > 0 and not lock.waiting})
    if not pids:
        return "an unknown process"
    names = [f"{pid} ({command_of(pid) or 'ended'})" for pid in pids]
    return ("process " if len(names) == 1 else "processes ") + ", ".join(names)
