"""Who holds and who awaits which lock file, as the kernel tells it in /proc/locks (proc_locks(5))."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple


class KernelLock(NamedTuple):
    """One flock, held or awaited. ``pid`` is 0 where the process is out of our sight."""

    pid: int
    exclusive: bool
    waiting: bool
    device: tuple[int, int]
    inode: int


def parse(text: str) -> list[KernelLock]:
    """Return the flocks in ``text``, the content of /proc/locks; lines of another form are left out.

    A line is ``1: FLOCK  ADVISORY  WRITE 123 00:1a:456 0 EOF``, with ``->`` before FLOCK for a waiter.
    """
    found = []
    for line in text.splitlines():
        fields = line.split()[1:]
        waiting = fields[:1] == ["->"]
        kind, _advisory, mode, pid, place = (fields[waiting:] + [""] * 5)[:5]
        try:
            major, minor, inode = place.split(":")
            where = (int(major, 16), int(minor, 16))
            lock = KernelLock(max(0, int(pid)), mode == "WRITE", waiting, where, int(inode))
        except ValueError:
            continue
        if kind == "FLOCK":
            found.append(lock)
    return found


def snapshot() -> list[KernelLock]:
    """Return all flocks of this moment; none where the kernel does not show them (ProcSubset=pid)."""
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as stream:
            return parse(stream.read())
    except OSError:
        return []


def on_file(locks: Iterable[KernelLock], status: os.stat_result) -> list[KernelLock]:
    """Return those of ``locks`` that are on the file with ``status``.

    Where a file system has no device of its own (btrfs gives each subvolume an anonymous one), /proc/locks
    and stat(2) may name different ones; then the inode alone must do.
    """
    device = (os.major(status.st_dev), os.minor(status.st_dev))
    return [
        lock
        for lock in locks
        if lock.inode == status.st_ino and (lock.device == device or device[0] == lock.device[0] == 0)
    ]


def process_name(pid: int) -> str:
    """Return the short name of process ``pid``, empty when it is gone or hidden."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return ""
