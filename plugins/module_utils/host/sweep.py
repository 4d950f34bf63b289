"""Remove the files of a job safely, at any depth and with any links.

All operations are relative to open directories. They follow no link and enter no mount point, so nothing
outside the tree can be reached, even if a process changes the tree at the same time. Each entry is first
moved into a trash directory by a rename and deleted there.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator
from typing import Callable, NamedTuple, Optional

TRASH = "_coldvox_trash"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A descriptor that only names the directory needs no right to read it (open(2), O_PATH).
_NAME_ONLY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Each level keeps a descriptor open. Deeper directories are moved up and deleted from there.
_MOST_LEVELS = 40
_BLOCK_BYTES = 512  # of st_blocks, stat(2)


class Swept(NamedTuple):
    """Counts of a removal; ``left`` are entries that remain."""

    removed: int = 0
    freed_bytes: int = 0
    left: int = 0


def open_directory(path: str) -> int:
    """Open the directory ``path``; raises OSError for a link and for anything else."""
    return os.open(path, _DIRECTORY)


def open_trash(work: int, owner: Optional[int] = None) -> int:
    """Open the trash directory in ``work``; create it if it is missing.

    A file or a link with its name is removed. ``owner`` is the user id of a new directory, by default the
    caller's.
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
    """Move the entry ``name`` of ``parent`` into ``trash``.

    Return whether that succeeded.
    """
    try:
        # A new name, because the old one may have the full length already.
        os.rename(name, os.urandom(16).hex(), src_dir_fd=parent, dst_dir_fd=trash)
    except OSError:
        return False
    return True


def discard_all(parent: int, trash: int, keep: Collection[str] = ()) -> None:
    """Move every entry of ``parent`` except the names in ``keep`` into ``trash``."""
    for entry in _entries(parent):
        if entry.name not in keep:
            discard(parent, entry.name, trash)


def discard_foreign(
    folder: int, trash: int, owner: int, out_of_time: Callable[[], bool], level: int = 1
) -> int:
    """Move each entry below ``folder`` that ``owner`` does not own to ``trash``.

    A directory of another user goes with its content, because ``owner`` cannot take anything out of it.
    Returns the number of moved entries.
    """
    mount, moved = mount_of(folder), 0
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
                    if mount_of(below) == mount:
                        moved += discard_foreign(below, trash, owner, out_of_time, level + 1)
        except OSError:
            continue  # removed or replaced in the meantime
    return moved


def empty(trash: int, out_of_time: Callable[[], bool]) -> Swept:
    """Delete the content of ``trash``; stop when ``out_of_time`` returns true."""
    removed = freed = 0
    while True:
        emptying = _Emptying(trash, out_of_time)
        done = emptying.empty(trash, 1)
        removed, freed = removed + done.removed, freed + done.freed_bytes
        # Directories that were too deep are now at the top, under a new name.
        if not emptying.moved_up or out_of_time():
            return Swept(removed, freed, done.left)


def remove(parent: int, name: str, out_of_time: Callable[[], bool]) -> None:
    """Delete the directory ``name`` of ``parent`` in place, without the trash.

    Raises OSError if something is left, for example a mount point.
    """
    with _opened(parent, name) as folder:
        if mount_of(folder) == mount_of(parent):
            empty(folder, out_of_time)
    os.rmdir(name, dir_fd=parent)


class _Emptying:
    """One pass over a trash directory."""

    def __init__(self, trash: int, out_of_time: Callable[[], bool]) -> None:
        self._trash = trash
        self._out_of_time = out_of_time
        self._mount = mount_of(trash)
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
            if mount_of(folder) != self._mount:
                return Swept(left=1)  # a mount point: its content is not the job's
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
    """Yield the entries of the directory without a list.

    A job may have made millions of names. Entries may be removed meanwhile; readdir(3) gives those that stay
    exactly once.
    """
    with os.scandir(folder) as entries:
        yield from entries


def mount_of(folder: int) -> str:
    """Return the mount id of the open directory ``folder`` (proc(5), fdinfo).

    The device number does not help: a bind mount may show another part of the same file system.
    """
    with open(f"/proc/self/fdinfo/{folder}", encoding="utf-8") as lines:
        return next(line for line in lines if line.startswith("mnt_id:"))


@contextlib.contextmanager
def _opened(parent: int, name: str) -> Iterator[int]:
    """Yield the directory ``name`` of ``parent``.

    Give the owner the rights to it first.
    """
    named = os.open(name, _NAME_ONLY, dir_fd=parent)
    try:
        status = os.fstat(named)
        if status.st_uid == os.geteuid() and status.st_mode & 0o700 != 0o700:
            # Cargo, Go and others make directories without the right to write.
            os.chmod(f"/proc/self/fd/{named}", 0o700)
        folder = os.open(f"/proc/self/fd/{named}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(named)
    try:
        yield folder
    finally:
        os.close(folder)
