"""Removing what a job left, however it is nested and whatever it links to.

Everything is done relative to open directories, never through a link and never into what is mounted there, so
that nothing outside can be reached, whoever changes the tree meanwhile. What is to go is first moved into a
trash directory, by one rename each, and deleted there.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator
from typing import Callable, NamedTuple, Optional

TRASH = "_coldvox_trash"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Only names the directory, which needs no right to read it (open(2)).
_NAME_ONLY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Each level keeps a descriptor; what is nested deeper is moved up and deleted from there.
_MOST_LEVELS = 40
_BLOCK_BYTES = 512  # of st_blocks, stat(2)


class Swept(NamedTuple):
    """``left`` counts what could not be removed, or was not for want of time."""

    removed: int = 0
    freed_bytes: int = 0
    left: int = 0


def open_directory(path: str) -> int:
    """Open the directory ``path`` itself; raises OSError when it is a link or nothing that can be opened."""
    return os.open(path, _DIRECTORY)


def open_trash(work: int, owner: Optional[int] = None) -> int:
    """Open the trash directory in ``work``, made if need be; anything else of its name goes.

    ``owner`` is the user id that a new one gets, the caller's unless given.
    """
    try:
        return os.open(TRASH, _DIRECTORY, dir_fd=work)
    except FileNotFoundError:
        pass
    except OSError:
        os.unlink(TRASH, dir_fd=work)  # a link or a file
    os.mkdir(TRASH, 0o700, dir_fd=work)
    made = os.open(TRASH, _DIRECTORY, dir_fd=work)
    if owner is not None:
        os.fchown(made, owner, -1)
    return made


def discard(parent: int, name: str, trash: int) -> bool:
    """Move the entry ``name`` of ``parent`` into ``trash``; return whether it went."""
    try:
        # Not its own name and more: that may be as long as a name can be.
        os.rename(name, os.urandom(16).hex(), src_dir_fd=parent, dst_dir_fd=trash)
    except OSError:
        return False
    return True


def discard_all(parent: int, trash: int, keep: Collection[str] = ()) -> None:
    """Move every entry of ``parent`` but those named in ``keep`` into ``trash``."""
    for entry in _entries(parent):
        if entry.name not in keep:
            discard(parent, entry.name, trash)


def discard_foreign(
    folder: int, trash: int, owner: int, out_of_time: Callable[[], bool], level: int = 1
) -> int:
    """Move into ``trash`` what below ``folder`` does not belong to the user id ``owner``; return how much.

    A foreign directory goes with all that is in it: the owner cannot take anything out of it.
    """
    mount, moved = _mount(folder), 0
    for entry in _entries(folder):
        if level == 1 and entry.name == TRASH:
            continue
        if out_of_time():
            break
        try:
            status = entry.stat(follow_symlinks=False)
            if status.st_uid != owner:
                moved += discard(folder, entry.name, trash)
            elif stat.S_ISDIR(status.st_mode) and level < _MOST_LEVELS:
                with _opened(folder, entry.name) as below:
                    if _mount(below) == mount:
                        moved += discard_foreign(below, trash, owner, out_of_time, level + 1)
        except OSError:
            continue  # gone meanwhile, or no directory any more
    return moved


def empty(trash: int, out_of_time: Callable[[], bool]) -> Swept:
    """Delete all that is in the directory ``trash``, unless ``out_of_time`` says that it takes too long."""
    removed = freed = 0
    while True:
        one = _Emptying(trash, out_of_time)
        done = one.empty(trash, 1)
        removed, freed = removed + done.removed, freed + done.freed_bytes
        # What was nested too deeply has come up meanwhile, under a new name.
        if not one.moved_up or out_of_time():
            return Swept(removed, freed, done.left)


def remove(parent: int, name: str, out_of_time: Callable[[], bool]) -> None:
    """Delete the directory ``name`` of ``parent`` where it lies, which takes no room as the trash would.

    Raises OSError for what is left, as what is mounted there is.
    """
    with _opened(parent, name) as folder:
        if _mount(folder) == _mount(parent):
            empty(folder, out_of_time)
    os.rmdir(name, dir_fd=parent)


class _Emptying:
    """One pass over a trash directory."""

    def __init__(self, trash: int, out_of_time: Callable[[], bool]) -> None:
        self._trash = trash
        self._out_of_time = out_of_time
        self._mount = _mount(trash)
        self.moved_up = 0

    def empty(self, folder: int, level: int) -> Swept:
        removed = freed = left = 0
        for entry in _entries(folder):
            if self._out_of_time():
                left += 1
                break
            try:
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    done = self._remove_directory(folder, entry.name, level)
                    removed, freed, left = removed + done.removed, freed + done.freed_bytes, left + done.left
                    continue
                os.unlink(entry.name, dir_fd=folder)
                removed += 1
                freed += status.st_blocks * _BLOCK_BYTES if status.st_nlink == 1 else 0
            except FileNotFoundError:
                continue
            except OSError:
                left += 1
        return Swept(removed, freed, left)

    def _remove_directory(self, parent: int, name: str, level: int) -> Swept:
        with _opened(parent, name) as folder:
            if _mount(folder) != self._mount:
                return Swept(left=1)  # something is mounted here, and not ours to empty
            if level >= _MOST_LEVELS:
                moved = discard(parent, name, self._trash)
                self.moved_up += moved
                return Swept(left=0 if moved else 1)
            done = self.empty(folder, level + 1)
        if done.left:
            return done
        os.rmdir(name, dir_fd=parent)
        return done._replace(removed=done.removed + 1)


def _entries(folder: int) -> Iterator[os.DirEntry[str]]:
    """Yield what is in the directory one by one: a job may have put millions of names there.

    Entries may go meanwhile; readdir(3) gives those that stay exactly once.
    """
    with os.scandir(folder) as entries:
        yield from entries


def _mount(folder: int) -> str:
    """Return the number of the mount that the open directory ``folder`` was reached by (proc(5), fdinfo).

    The device is no answer: a bind mount may show another part of the same file system.
    """
    with open(f"/proc/self/fdinfo/{folder}", encoding="utf-8") as lines:
        return next(line for line in lines if line.startswith("mnt_id:"))


@contextlib.contextmanager
def _opened(parent: int, name: str) -> Iterator[int]:
    """Yield the directory ``name`` of ``parent``; one that its owner closed to himself is opened first."""
    named = os.open(name, _NAME_ONLY, dir_fd=parent)
    try:
        status = os.fstat(named)
        if status.st_uid == os.geteuid() and status.st_mode & 0o700 != 0o700:
            # Cargo, Go and others make directories that nobody can write to.
            os.chmod(f"/proc/self/fd/{named}", 0o700)
        folder = os.open(f"/proc/self/fd/{named}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(named)
    try:
        yield folder
    finally:
        os.close(folder)
