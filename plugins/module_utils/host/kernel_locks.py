"""Holders and waiters of lock files, from /proc/locks (proc_locks(5)).

The kernel lists an open file description lock without a process, because processes can share a description.
Its holders are the processes that have the file open with that lock (proc_pid_fdinfo(5)). A caller sees the
files of other users' processes only as root.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Optional

_KINDS = ("FLOCK", "OFDLCK", "POSIX")
# Only such files are searched for in the descriptors of all processes.
_SUFFIX = "lock"


class KernelLock(NamedTuple):
    """One lock, held or awaited. ``pid`` is 0 for a process out of sight.

    ``start`` is the first byte of the locked range, 0 for a whole file.
    """

    pid: int
    exclusive: bool
    waiting: bool
    device: tuple[int, int]
    inode: int
    start: int = 0


def parse(text: str) -> list[KernelLock]:
    """Return the locks in ``text``, the content of /proc/locks; skips other lines.

    A line is ``1: FLOCK  ADVISORY  WRITE 123 00:1a:456 0 EOF``, with ``->`` before FLOCK for a waiter.
    """
    listed = []
    for line in text.splitlines():
        fields = line.split()[1:]
        waiting = fields[:1] == ["->"]
        kind, _advisory, mode, pid, place, start = (fields[waiting:] + [""] * 6)[:6]
        try:
            major, minor, inode = place.split(":")
            where = (int(major, 16), int(minor, 16))
            lock = KernelLock(max(0, int(pid)), mode == "WRITE", waiting, where, int(inode), int(start))
        except ValueError:
            continue
        if kind in _KINDS:
            listed.append(lock)
    return listed


def snapshot() -> list[KernelLock]:
    """Return all locks of this moment.

    There are none where a sandbox hides them (ProcSubset=pid).
    """
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as stream:
            listed = parse(stream.read())
    except OSError:
        return []
    if all(lock.pid for lock in listed):
        return listed
    opened = sorted(_opened())
    return [lock if lock.pid else lock._replace(pid=_owner(lock, opened)) for lock in listed]


class _Opened(NamedTuple):
    """A lock file that ``pid`` has open; ``locked`` is READ, WRITE or empty."""

    pid: int
    inode: int
    locked: str


def _owner(lock: KernelLock, opened: list[_Opened]) -> int:
    """Return the process of ``lock``, 0 if unknown; removes it from ``opened``."""
    locked = "" if lock.waiting else "WRITE" if lock.exclusive else "READ"
    for each in opened:
        if each.inode == lock.inode and each.locked == locked:
            opened.remove(each)
            return each.pid
    return 0


def _opened() -> Iterator[_Opened]:
    """Yield the lock files that the visible processes have open."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            descriptors = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue  # of another user, or it has ended
        for number in descriptors:
            path = f"/proc/{pid}/fd/{number}"
            try:
                if not os.readlink(path).endswith(_SUFFIX):
                    continue
                inode = os.stat(path).st_ino
                with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as stream:
                    words = next((line.split() for line in stream if line.startswith("lock:")), [])
            except OSError:
                continue
            yield _Opened(int(pid), inode, words[4] if len(words) > 4 else "")


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


def describe_holders(path: str, locks: Optional[Iterable[KernelLock]] = None, start: int = 0) -> str:
    """Return which processes hold the lock file ``path``, for a message; never raises.

    ``locks`` defaults to those of this moment. ``start`` is the first byte of the locked range.
    """
    try:
        listed = on_file(snapshot() if locks is None else locks, os.stat(path, follow_symlinks=False))
    except OSError:
        return "an unknown process"
    held = [lock.pid for lock in listed if not lock.waiting and lock.start == start]
    named = [f"{pid} ({process_name(pid) or 'ended'})" for pid in sorted(set(held)) if pid]
    if named:
        return f"process {', '.join(named)}"
    return "a process of another user" if held else "an unknown process"
