"""Measure the space that files of a job occupy, while the job may change them.

All operations are relative to open directories. They follow no link and enter no other mount. The memory that
a walk takes does not depend on the number of files.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterable
from typing import Callable, Optional

from .sweep import mount_of, open_directory

#: The size of a tree that is nested too deep to be measured.
IMMEASURABLE = sys.maxsize
# An empty file takes no block, but a place in the tables of the file system.
_LEAST_BYTES = 4096
_BLOCK_BYTES = 512  # of st_blocks, stat(2)
# Each level holds two descriptors, and a process may have 1024. A path of 4096 letters rarely has so many.
_MOST_LEVELS = 300
_FEW = 1024  # entries between two questions whether that is enough
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Enough = Callable[[int], bool]


def tree_bytes(path: str, keeper: int, enough: Enough) -> int:
    """Return the bytes that the tree in the directory ``path`` occupies.

    Leaves out entries at its top that the user id ``keeper`` owns. A file with several names counts once, in
    equal parts. Stops when ``enough`` returns true for the sum so far. Raises OSError if ``path`` is no
    directory.
    """
    levels = [_Level(open_directory(path))]
    mount, total, seen = mount_of(levels[0].folder), 0, 0
    try:
        while levels:
            below = None
            for entry in levels[-1].entries:
                status = _status(entry)
                if status is None or (len(levels) == 1 and status.st_uid == keeper):
                    continue
                is_directory = stat.S_ISDIR(status.st_mode)
                total += _bytes(status) // (1 if is_directory else max(1, status.st_nlink))
                seen += 1
                if seen % _FEW == 0 and enough(total):
                    return total
                below = levels[-1].open(entry.name, mount) if is_directory else None
                if below:
                    break
            if not below:
                levels.pop().close()
            elif len(levels) == _MOST_LEVELS:
                below.close()
                return IMMEASURABLE
            else:
                levels.append(below)
        return total
    finally:
        for level in levels:
            level.close()


class _Level:
    """An open directory, and its entries that were not counted yet."""

    def __init__(self, folder: int) -> None:
        self.folder = folder
        self.entries = os.scandir(folder)

    def open(self, name: str, mount: str) -> Optional[_Level]:
        """Return the directory ``name``, None if it is gone or another mount."""
        with contextlib.suppress(OSError):
            folder = os.open(name, _DIRECTORY, dir_fd=self.folder)
            if mount_of(folder) == mount:
                return _Level(folder)
            os.close(folder)
        return None

    def close(self) -> None:
        """Close the directory."""
        self.entries.close()
        os.close(self.folder)


def _status(entry: os.DirEntry[str]) -> Optional[os.stat_result]:
    with contextlib.suppress(OSError):
        return entry.stat(follow_symlinks=False)
    return None


def _bytes(status: os.stat_result) -> int:
    return max(_LEAST_BYTES, status.st_blocks * _BLOCK_BYTES)


def unlinked_bytes(pids: Iterable[int], enough: Enough, proc: str = "/proc") -> int:
    """Return the bytes of files without a name that the processes ``pids`` hold open.

    Files in memory count too. Stops when ``enough`` returns true for the sum so far.
    """
    known: set[tuple[int, int]] = set()
    total = seen = 0
    for pid in pids:
        with contextlib.suppress(OSError), os.scandir(f"{proc}/{pid}/fd") as entries:
            for entry in entries:
                seen += 1
                if seen % _FEW == 0 and enough(total):
                    return total
                with contextlib.suppress(OSError):
                    status = os.stat(entry.path)
                    inode = (status.st_dev, status.st_ino)
                    if stat.S_ISREG(status.st_mode) and status.st_nlink == 0 and inode not in known:
                        known.add(inode)
                        total += _bytes(status)
    return total
