"""Locks by name for jobs: files in one directory that CI users share, held by flock.

The directory belongs to root and is sticky, so a lock file can be taken away only by the user who was the
first to use its name, and by root after that user's job when nobody holds it; a file that root made
beforehand by nobody. What a file says about its holder is for people.
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
    locks = snapshot()
    if not locks:  # a sandbox may hide /proc/locks (ProcSubset=pid); then only the note is left
        return _plain(describe_holder(path))
    try:
        holders = standing(path, locks).holders
    except OSError:
        holders = ()
    return " and ".join(map(str, holders)) or "an unknown process"


def standing(path: str, locks: list[KernelLock]) -> Standing:
    """Return what ``locks`` say of the file ``path``; raises OSError when it is gone."""
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
    return Standing(
        name[: -len(_SUFFIX)] if name.endswith(_SUFFIX) else name,
        path,
        tuple(described(lock) for lock in here if not lock.waiting),
        tuple(described(lock) for lock in here if lock.waiting),
    )


def _plain(value: object) -> str:
    """Return what another user wrote, short and without what could play tricks on a terminal."""
    return "".join(char for char in str(value or "") if char.isprintable())[:_MOST_LETTERS]


def listed(directory: str) -> Iterator[Standing]:
    """Give what is going on at every lock in ``directory`` that is held; none when it does not exist.

    Raises CiError when it may not be looked into.
    """
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(_SUFFIX))
    except FileNotFoundError:
        return
    except OSError as error:
        raise CiError(
            f"the directory for locks {directory} cannot be read ({error.strerror}); run as root or as a "
            "member of its group."
        ) from error
    locks = snapshot()
    for name in names:
        try:
            found = standing(os.path.join(directory, name), locks)
        except OSError:
            continue  # taken away since it was listed
        if found.holders or found.waiters:
            yield found
