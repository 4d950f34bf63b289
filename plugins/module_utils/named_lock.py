"""Locks by name for jobs: files in one directory that CI users share, held by flock.

The directory belongs to root and is sticky, so a lock file can be taken away only by the user who was the
first to use its name; a file that root made beforehand by nobody. What a file says about its holder is for
people.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Optional

from .errors import CiError
from .flock import Flock, LockTimeoutError, describe_holder, process_start, read_note
from .store import kernel_locks
from .store.kernel_locks import KernelLock

DEFAULT_DIRECTORY = "/run/coldvox-ci/locks"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_SUFFIX = ".lock"
_MOST_LETTERS = 120
# Every user may write the note of a file another one made; the directory decides who is a user at all.
_MODE = 0o666


class Holder(NamedTuple):
    """One process at a lock. ``what`` it does and ``since`` when are empty if unknown."""

    pid: int
    exclusive: bool
    what: str
    since: str

    def __str__(self) -> str:
        who = f"process {self.pid}" if self.pid else "a process out of sight"
        return who + (f" ({self.what})" if self.what else "") + (f" since {self.since}" if self.since else "")


class Standing(NamedTuple):
    """What is going on at one lock: who holds it and who waits."""

    name: str
    path: str
    holders: tuple[Holder, ...]
    waiters: tuple[Holder, ...]


def lock_path(directory: str, name: str) -> str:
    """Return the lock file of ``name``. Raises CiError for a bad name or a directory not to be trusted."""
    if not _NAME.fullmatch(name):
        raise CiError(
            f"the lock name '{name}' is refused: use letters, digits and '._+-', beginning with a letter or "
            "digit, at most 128."
        )
    try:
        status = os.stat(directory)
    except OSError as error:
        raise CiError(
            f"the directory for locks {directory} cannot be used ({error.strerror}); converge the host with "
            "the role agent, run as a member of its group, or name another directory with --dir."
        ) from error
    shared = status.st_mode & 0o022
    if status.st_uid not in (0, os.geteuid()) or (shared and not status.st_mode & stat.S_ISVTX):
        raise CiError(
            f"the directory for locks {directory} is not safe: others could replace lock files in it; it "
            "must belong to root or to you, and be sticky (chmod +t) if others may write to it."
        )
    return os.path.join(directory, name + _SUFFIX)


def acquire(
    path: str,
    *,
    shared: bool = False,
    timeout_seconds: Optional[float] = None,
    purpose: str = "",
    waiting: Optional[Callable[[float], None]] = None,
) -> Flock:
    """Take the lock file ``path`` and return the held lock; it waits in the kernel and wakes at once.

    ``timeout_seconds`` None waits for ever. ``waiting`` is called with the seconds waited every half second
    while it waits. Raises LockTimeoutError that names the holder.
    """
    import time

    lock = Flock(path, shared=shared, mode=_MODE, purpose=purpose)
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
            f"the lock {name} was not free within {timeout_seconds:g} s, because {held_by(path)} holds it; "
            "wait for that process or end it, or allow more time with --timeout.",
            **error.details,
        ) from error
    return lock


def held_by(path: str) -> str:
    """Return who holds the lock file ``path`` at this moment, for a message; never raises."""
    try:
        devices = kernel_locks.devices_of(os.path.dirname(path))
    except OSError:
        return "an unknown process"
    locks = kernel_locks.read_all()
    if not locks:  # a sandbox may hide /proc/locks (ProcSubset=pid); then only the note is left
        return _plain(describe_holder(path))
    holders = standing(path, locks, devices).holders
    return " and ".join(map(str, holders)) or "an unknown process"


def standing(path: str, locks: Sequence[KernelLock], devices: set[str]) -> Standing:
    """Return what ``locks`` say of the file ``path``; ``devices`` is of its directory."""
    here = kernel_locks.on_file(path, locks, devices)
    note = read_note(path)
    # A note outlives its holder in the file, so it speaks only for a process that does hold the lock now.
    speaker = note.get("pid") if note.get("start") == process_start(_number(note.get("pid"))) else None

    def described(lock: KernelLock) -> Holder:
        pid = max(0, lock.pid)
        if not (lock.waiting or lock.shared) and pid and pid == speaker:
            return Holder(pid, True, _plain(note.get("purpose")), _plain(note.get("since")))
        return Holder(pid, not lock.shared, kernel_locks.command_of(pid), "")

    return Standing(
        os.path.basename(path)[: -len(_SUFFIX)],
        path,
        tuple(described(lock) for lock in here if not lock.waiting),
        tuple(described(lock) for lock in here if lock.waiting),
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) else -1


def _plain(value: object) -> str:
    """Return what another user wrote, short and without what could play tricks on a terminal."""
    return "".join(char for char in str(value or "") if char.isprintable())[:_MOST_LETTERS]


def listed(directory: str) -> Iterator[Standing]:
    """Give what is going on at every lock in ``directory`` that is held; none when it does not exist.

    Asks the kernel only and takes no lock itself, so that looking never keeps a job out. Raises CiError when
    the directory may not be looked into.
    """
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(_SUFFIX))
        devices = kernel_locks.devices_of(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise CiError(
            f"the directory for locks {directory} cannot be read ({error.strerror}); run as root or as a "
            "member of its group."
        ) from error
    locks = kernel_locks.read_all()
    for name in names:
        found = standing(os.path.join(directory, name), locks, devices)
        if found.holders or found.waiters:
            yield found
