"""Locks by name for jobs: each name is one byte of one file.

The directory and its file belong to root, so a job can neither remove nor withhold a lock, and a name takes
no space. The file's content has no meaning. A job can hold any name until it ends, because the purpose of a
named lock is to make other jobs wait.

These are record locks of a process (fcntl_locking(2)): /proc/locks shows their holder to every user.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple, Optional

from ..errors import CiError
from .flock import LockTimeoutError, wait_until
from .kernel_locks import describe_holders, on_file, process_name, snapshot

#: The file of all names; the role agent creates it.
FILE = "names.lock"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
# A file offset is positive and has 63 bits.
_OFFSET_BYTES = 7
_MOST_BYTES = 16384


class Holder(NamedTuple):
    """One process at a lock. ``what`` is the name of its program, empty if unknown."""

    pid: int
    exclusive: bool
    what: str

    def __str__(self) -> str:
        if not self.pid:
            return "a process out of sight"
        return f"process {self.pid}" + (f" ({self.what})" if self.what else "")


class LockState(NamedTuple):
    """The holders and the waiters of one lock."""

    name: str
    holders: tuple[Holder, ...]
    waiters: tuple[Holder, ...]


class NamedLock:
    """A held lock. A process may hold one at a time: closing the file releases all."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock."""
        os.close(self._descriptor)


def check(directory: str, name: str) -> str:
    """Return the file of the locks in ``directory``.

    Raises CiError for a bad name or an unsafe directory.
    """
    if not _NAME.fullmatch(name):
        raise CiError(
            f"The lock name '{name}' is refused: use letters, digits and '._+-', beginning with a letter or "
            "digit, at most 128."
        )
    try:
        status = os.stat(directory)
    except OSError as error:
        raise CiError(
            f"The directory for locks {directory} cannot be used ({error.strerror}); converge the host with "
            "the role agent, run as a member of its group, or name another directory with --dir."
        ) from error
    shared = status.st_mode & 0o022
    if status.st_uid not in (0, os.geteuid()) or (shared and not status.st_mode & stat.S_ISVTX):
        raise CiError(
            f"The directory for locks {directory} is not safe, because other users could replace its files; "
            "make root or yourself its owner, and make it sticky (chmod +t) if others may write to it."
        )
    return os.path.join(directory, FILE)


def offset(name: str) -> int:
    """Return the byte of the lock ``name``."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:_OFFSET_BYTES], "big")


def acquire(
    directory: str,
    name: str,
    *,
    shared: bool = False,
    timeout_seconds: Optional[float] = None,
    waiting: Optional[Callable[[float], None]] = None,
) -> NamedLock:
    """Take the lock ``name`` in ``directory`` and return it.

    The kernel wakes a waiting caller at once. ``timeout_seconds`` None waits without a limit. ``waiting`` is
    called every half second of the wait with the seconds waited. Raises LockTimeoutError that names the
    holder.
    """
    import time

    path, byte = check(directory, name), offset(name)
    descriptor = _open(path)
    lock, operation = NamedLock(descriptor), fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.lockf(descriptor, operation | fcntl.LOCK_NB, 1, byte)
        return lock
    except (BlockingIOError, PermissionError):  # fcntl(2): "EACCES or EAGAIN"
        began = time.monotonic()
    except OSError as error:
        os.close(descriptor)
        raise CiError(
            f"The lock {name} in {directory} cannot be taken ({error.strerror}); use a directory on a local "
            "file system."
        ) from error

    def tell() -> None:
        if waiting:
            waiting(time.monotonic() - began)

    limit = float("inf") if timeout_seconds is None else timeout_seconds
    if not wait_until(descriptor, lambda opened: fcntl.lockf(opened, operation, 1, byte), limit, tell):
        holders = describe_holders(path, start=byte)
        raise LockTimeoutError(
            f"The lock {name} was not free within {timeout_seconds:g} s, because {holders} holds it; wait "
            "for that process or end it, or allow more time with --timeout.",
            holder=holders,
        )
    return lock


def _open(path: str) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        try:
            return os.open(path, flags)
        except FileNotFoundError:
            return os.open(path, flags | os.O_CREAT, 0o660)
    except OSError as error:
        raise CiError(
            f"The lock file {path} cannot be opened ({error.strerror}); converge the host with the role "
            "agent, or run as a member of its group."
        ) from error


def listed(directory: str) -> Iterator[LockState]:
    """Yield the state of every lock in ``directory`` that is held.

    The kernel knows only bytes. The name is the word of a command line that has this byte, else the byte as a
    number. Yields none when the directory or its file does not exist. Raises CiError when it cannot be read.
    """
    try:
        status = os.stat(os.path.join(directory, FILE))
    except FileNotFoundError:
        return
    except OSError as error:
        raise CiError(
            f"The directory for locks {directory} cannot be read ({error.strerror}); run as root or as a "
            "member of its group."
        ) from error
    here = on_file(snapshot(), status)
    states = []
    for byte in {lock.start for lock in here}:
        locks = [lock for lock in here if lock.start == byte]
        holders, waiters = (
            tuple(
                Holder(lock.pid, lock.exclusive, process_name(lock.pid))
                for lock in locks
                if lock.waiting == waiting
            )
            for waiting in (False, True)
        )
        name = next(filter(None, (_name_at(byte, lock.pid) for lock in locks)), f"#{byte:x}")
        states.append(LockState(name, holders, waiters))
    yield from sorted(states)


def _name_at(byte: int, pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            words = stream.read(_MOST_BYTES).decode(errors="replace").split("\0")
    except OSError:
        return ""
    return next((word for word in words if _NAME.fullmatch(word) and offset(word) == byte), "")
