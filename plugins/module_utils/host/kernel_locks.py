"""Holders and waiters of lock files, from /proc/locks (proc_locks(5))."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple, Optional


class KernelLock(NamedTuple):
    """One flock, held or awaited. ``pid`` is 0 for a process of another namespace."""

    pid: int
    exclusive: bool
    waiting: bool
    device: tuple[int, int]
    inode: int


def parse(text: str) -> list[KernelLock]:
    """Return the flocks in ``text``, the content of /proc/locks; skips other lines.

    A line is ``1: FLOCK  ADVISORY  WRITE 123 00:1a:456 0 EOF``, with ``->`` before FLOCK for a waiter.
    """
    listed = []
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
            listed.append(lock)
    return listed


def snapshot() -> list[KernelLock]:
    """Return all flocks of this moment.

    There are none where a sandbox hides them (ProcSubset=pid).
    """
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as stream:
            return parse(stream.read())
    except OSError:
        return []


def on_file(locks: Iterable[KernelLock], status: os.stat_result) -> list[KernelLock]:
    """Return those of ``locks`` that are on the file with ``status``.

    Where a file system has no device of its own (btrfs gives each subvolume an anonymous one), /proc/locks
    and stat(2) may name different ones; then the inode alone decides.
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


def process_start(pid: int) -> int:
    """Return when process ``pid`` started, in clock ticks since boot.

    It is 0 when there is no such process.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            # The name in parentheses may hold anything; the 20th field after it is the start time, proc(5).
            return int(stream.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def describe_holders(path: str, locks: Optional[Iterable[KernelLock]] = None) -> str:
    """Return which processes hold the lock file ``path``, for a message; never raises.

    ``locks`` defaults to those of this moment.
    """
    try:
        listed = on_file(snapshot() if locks is None else locks, os.stat(path, follow_symlinks=False))
    except OSError:
        return "an unknown process"
    pids = sorted({lock.pid for lock in listed if lock.pid and not lock.waiting})
    named = [f"{pid} ({process_name(pid) or 'ended'})" for pid in pids]
    return f"process {', '.join(named)}" if named else "an unknown process"
