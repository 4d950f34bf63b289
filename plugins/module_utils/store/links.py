"""Symlinks from fixed paths into the store.

They are replaced by rename, and never through a planted link.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from typing import Optional

from ..errors import CiError
from ..host.directories import open_directory
from ..host.durable import storage_error, sync_descriptor

_TREE = re.compile(r"/trees/[0-9a-f]{64}(?:/|$)")


@contextlib.contextmanager
def _parent(path: str, doing: str, *, create: bool = False) -> Iterator[Optional[int]]:
    """Yield a descriptor of the directory of ``path``, None when it is missing.

    Turns an OSError of the block into a StorageError about ``doing``.
    """
    try:
        fd = open_directory(os.path.dirname(path), create=create)
        try:
            yield fd
        finally:
            if fd is not None:
                os.close(fd)
    except OSError as error:
        raise storage_error(f"{doing} the link {path}", error) from error


def _current(fd: int, path: str) -> Optional[str]:
    """Return the target of the symlink ``path``, None when nothing is there.

    Raises CiError when something else is there.
    """
    name = os.path.basename(path)
    try:
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(status.st_mode):
        raise CiError(
            f"The link {path} cannot be made: something that is no symlink is in the way; look at it, move "
            "it away and run again."
        )
    return os.readlink(name, dir_fd=fd)


def read(path: str) -> Optional[str]:
    """Return the target of the symlink ``path``, None when there is nothing.

    Raises CiError for a file or directory.
    """
    with _parent(path, "looking at") as fd:
        return None if fd is None else _current(fd, path)


def read_own(path: str) -> Optional[str]:
    """Return the target of the symlink ``path``, None when there is nothing.

    Raises CiError for a file, a directory, or a link that leads to no tree of a store.
    """
    target = read(path)
    if target is not None and not _TREE.search(target):
        raise CiError(
            f"The link {path} points to {target}, which no artifact store made; look at it, move it away and "
            "run again."
        )
    return target


def swap(path: str, target: str, durable: bool = True) -> bool:
    """Point ``path`` to ``target`` by one rename; return whether it changed.

    Without ``durable`` a power cut may undo it: right for a link that ends with the job.
    """
    with _parent(path, "making", create=True) as fd:
        if fd is None or _current(fd, path) == target:
            return False
        name = os.path.basename(path)
        temporary = f".{name[:100]}.{os.urandom(6).hex()}"
        os.symlink(target, temporary, dir_fd=fd)
        try:
            os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
        except BaseException:
            os.unlink(temporary, dir_fd=fd)
            raise
        if durable:
            sync_descriptor(fd)
        return True


def remove(path: str, below: str) -> bool:
    """Remove the symlink ``path`` if it points below the directory ``below``.

    Other symlinks are not ours.
    """
    return _remove(path, lambda target: target.startswith(below.rstrip("/") + "/"))


def remove_exactly(path: str, tree: str) -> bool:
    """Remove the symlink ``path`` if it points to ``tree`` or into it.

    Leaves anything else alone.
    """
    return os.path.islink(path) and _remove(path, lambda target: (target + "/").startswith(tree + "/"))


def _remove(path: str, is_ours: Callable[[str], bool]) -> bool:
    with _parent(path, "removing") as fd:
        if fd is None or not is_ours(_current(fd, path) or ""):
            return False
        os.unlink(os.path.basename(path), dir_fd=fd)
        sync_descriptor(fd)
        return True
