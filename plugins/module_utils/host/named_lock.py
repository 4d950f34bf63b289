"""Locks by name for jobs, held by flock.

They are files in one directory that CI users share. The directory belongs to root and is sticky. Only the
user who used a name first can remove its lock file, and root after that user's job when no process holds it;
a file that root made beforehand stays.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple, Optional

from ..errors import CiError
from .flock import Flock, LockTimeoutError
from .kernel_locks import KernelLock, describe_holders, on_file, process_name, snapshot

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_SUFFIX = ".lock"


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
    path: str
    holders: tuple[Holder, ...]
    waiters: tuple[Holder, ...]


def lock_path(directory: str, name: str) -> str:
    """Return the lock file of ``name``.

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
    return os.path.join(directory, name + _SUFFIX)


def acquire(
    path: str,
    *,
    shared: bool = False,
    timeout_seconds: Optional[float] = None,
    waiting: Optional[Callable[[float], None]] = None,
) -> Flock:
    """Take the lock file ``path`` and return the held lock.

    The kernel wakes a waiting caller at once. ``timeout_seconds`` None waits without a limit. ``waiting`` is
    called every half second of the wait with the seconds waited. Raises LockTimeoutError that names the
    holder.
    """
    import time

    lock = Flock(path, shared=shared)
    if lock.try_acquire():
        return lock
    began = time.monotonic()

    def tell() -> None:
        if waiting:
            waiting(time.monotonic() - began)

    try:
        lock.acquire(float("inf") if timeout_seconds is None else timeout_seconds, tell)
    except LockTimeoutError as error:
        name = os.path.basename(path)[: -len(_SUFFIX)]
        raise LockTimeoutError(
            f"The lock {name} was not free within {timeout_seconds:g} s, because {describe_holders(path)} "
            "holds it; wait for that process or end it, or allow more time with --timeout.",
            **error.details,
        ) from error
    return lock


def _state(path: str, locks: list[KernelLock]) -> LockState:
    """Return the state of the file ``path`` among ``locks``.

    Raises OSError when it is gone.
    """
    here = on_file(locks, os.stat(path, follow_symlinks=False))

    def some(waiting: bool) -> tuple[Holder, ...]:
        return tuple(
            Holder(lock.pid, lock.exclusive, process_name(lock.pid))
            for lock in here
            if lock.waiting == waiting
        )

    return LockState(os.path.basename(path)[: -len(_SUFFIX)], path, some(waiting=False), some(waiting=True))


def listed(directory: str) -> Iterator[LockState]:
    """Yield the state of every lock in ``directory`` that is held.

    Yields none when the directory does not exist. Raises CiError when the directory cannot be read.
    """
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(_SUFFIX))
    except FileNotFoundError:
        return
    except OSError as error:
        raise CiError(
            f"The directory for locks {directory} cannot be read ({error.strerror}); run as root or as a "
            "member of its group."
        ) from error
    locks = snapshot()
    for name in names:
        try:
            state = _state(os.path.join(directory, name), locks)
        except OSError:
            continue  # removed since it was listed
        if state.holders or state.waiters:
            yield state
