"""Locks by name for jobs: files in one directory that CI users share, held by flock.

The directory belongs to root and is sticky. Only the user who first used a name can remove its lock file, and
root removes it after that user's job if no process holds it. The text in a lock file is information for
people.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple, Optional

from ..errors import CiError
from .flock import Flock, LockTimeoutError, describe_holder, process_start, read_note
from .kernel_locks import KernelLock, on_file, process_name, snapshot

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_SUFFIX = ".lock"
_MOST_LETTERS = 120
# Every user of the directory may write the note of a file that another user made.
_MODE = 0o666


class Holder(NamedTuple):
    """A process that holds or waits for a lock; ``what`` and ``since`` are empty if unknown."""

    pid: int
    exclusive: bool
    what: str
    since: str

    def __str__(self) -> str:
        who = f"process {self.pid}" if self.pid else "a process that is not visible here"
        return who + (f" ({self.what})" if self.what else "") + (f" since {self.since}" if self.since else "")


class LockState(NamedTuple):
    """The holders and the waiters of one lock."""

    name: str
    path: str
    holders: tuple[Holder, ...]
    waiters: tuple[Holder, ...]


def lock_path(directory: str, name: str) -> str:
    """Return the lock file of ``name``; raises CiError for a bad name or an unsafe directory."""
    if not _NAME.fullmatch(name):
        raise CiError(
            f"The lock name '{name}' is refused; use at most 128 letters, digits and '._+-', a letter or a "
            "digit first."
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
    purpose: str = "",
    waiting: Optional[Callable[[float], None]] = None,
) -> Flock:
    """Take the lock file ``path`` and return the held lock; the kernel wakes the waiter at once.

    ``timeout_seconds`` None waits for ever. ``waiting`` is called every half second with the seconds so
    far. Raises LockTimeoutError with the holder's name.
    """
    import time

    lock = Flock(path, shared=shared, mode=_MODE, purpose=purpose)
    if lock.try_acquire():
        return lock
    began = time.monotonic()

    def report_wait() -> None:
        if waiting:
            waiting(time.monotonic() - began)

    try:
        lock.acquire(float("inf") if timeout_seconds is None else timeout_seconds, report_wait)
    except LockTimeoutError as error:
        name = os.path.basename(path)[: -len(_SUFFIX)]
        raise LockTimeoutError(
            f"The lock {name} was not free within {timeout_seconds:g} s, because {held_by(path)} holds it; "
            "wait for that process or end it, or allow more time with --timeout.",
            **error.details,
        ) from error
    return lock


def held_by(path: str) -> str:
    """Return the holder of the lock file ``path`` for a message; never raises."""
    locks = snapshot()
    if not locks:  # ProcSubset=pid hides /proc/locks; then only the note is left
        return _plain(describe_holder(path))
    try:
        holders = lock_state(path, locks).holders
    except OSError:
        holders = ()
    return " and ".join(map(str, holders)) or "an unknown process"


def lock_state(path: str, locks: list[KernelLock]) -> LockState:
    """Return holders and waiters of the file ``path``; raises OSError if the file is gone."""
    here = on_file(locks, os.stat(path, follow_symlinks=False))
    try:
        note = read_note(path)
        speaker = int(note["pid"])
        fresh = int(note["start"]) in (process_start(speaker), 0)
    except (OSError, ValueError, KeyError, TypeError):
        note, speaker, fresh = {}, -1, False

    def described(lock: KernelLock) -> Holder:
        if not lock.waiting and lock.exclusive and lock.pid == speaker and fresh:
            return Holder(lock.pid, True, _plain(note.get("purpose")), _plain(note.get("since")))
        return Holder(lock.pid, lock.exclusive, process_name(lock.pid), "")

    name = os.path.basename(path)
    return LockState(
        name[: -len(_SUFFIX)] if name.endswith(_SUFFIX) else name,
        path,
        tuple(described(lock) for lock in here if not lock.waiting),
        tuple(described(lock) for lock in here if lock.waiting),
    )


def _plain(value: object) -> str:
    """Return another user's text, short and without control characters for the terminal."""
    return "".join(char for char in str(value or "") if char.isprintable())[:_MOST_LETTERS]


def listed(directory: str) -> Iterator[LockState]:
    """Yield the state of every held lock in ``directory``; nothing if it does not exist.

    Raises CiError if the directory cannot be read.
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
            state = lock_state(os.path.join(directory, name), locks)
        except OSError:
            continue  # removed since it was listed
        if state.holders or state.waiters:
            yield state
