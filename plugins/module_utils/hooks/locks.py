"""What jobs left in the directory for locks, which all accounts share and one could fill."""

from __future__ import annotations

import contextlib
import itertools
import os
import time

from ..flock import remove_free
from . import sweep

# As many as the directory's file system holds (role agent).
_MOST_FILES = 4096
_CLEANING_SECONDS = 60.0


def prune(directory: str, owner: int, most: int = _MOST_FILES) -> int:
    """Remove from ``directory`` what belongs to the user id ``owner``, at most ``most``; return how much
    went.

    A lock that somebody holds stays. Needs the right to remove files of others there.
    """
    deadline = time.monotonic() + _CLEANING_SECONDS
    gone = 0
    with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
        folder = sweep.open_directory(directory)
        opened.callback(os.close, folder)
        entries = opened.enter_context(os.scandir(folder))
        for entry in itertools.islice((one for one in entries if _belongs(one, owner)), most):
            with contextlib.suppress(OSError):
                if entry.is_file(follow_symlinks=False):
                    gone += remove_free(entry.name, folder, owner)
                    continue
                if entry.is_dir(follow_symlinks=False):
                    sweep.remove(folder, entry.name, lambda: time.monotonic() > deadline)
                else:
                    os.unlink(entry.name, dir_fd=folder)
                gone += 1
    return gone


def _belongs(entry: os.DirEntry[str], owner: int) -> bool:
    with contextlib.suppress(OSError):
        return entry.stat(follow_symlinks=False).st_uid == owner
    return False
