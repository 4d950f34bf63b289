"""Symlinks out of the world into the store: swapped by rename, and never led astray by a planted link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import Optional

from ..errors import CiError
from ..host.durable import storage_error

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def _is_trusted(fd: int) -> bool:
    """Tell whether only root or we can put names into the directory ``fd``."""
    status = os.fstat(fd)
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022


def _open_parent(path: str, create: bool) -> Optional[int]:
    """Return a descriptor of the directory that holds ``path``, None when it is missing and not to be
    created.

    Goes down name by name: in a directory where others can put names, a symlink is not followed, so nobody
    can make us write elsewhere than the path says.
    """
    fd = os.open("/", _DIRECTORY)
    try:
        for part in [part for part in os.path.dirname(path).split("/") if part not in ("", ".")]:
            follow = 0 if _is_trusted(fd) else os.O_NOFOLLOW
            try:
                below = os.open(part, _DIRECTORY | follow, dir_fd=fd)
            except FileNotFoundError:
                if not create:
                    os.close(fd)
                    return None
                os.mkdir(part, 0o755, dir_fd=fd)
                below = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                os.fchmod(below, 0o755)
            os.close(fd)
            fd = below
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise CiError(
                f"the link {path} cannot be made: '{part}' in its path is no directory, or a symlink that "
                "others could have planted; choose a path that only root can write to."
            ) from error
        raise storage_error(f"making the link {path}", error) from error
    return fd


def _current(fd: int, path: str) -> Optional[str]:
    """Return what the symlink ``path`` says, None when nothing is there; raise for anything else in the
    way.
    """
    name = os.path.basename(path)
    try:
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(status.st_mode):
        raise CiError(
            f"the link {path} cannot be made: something that is no symlink is in the way; look at it, move "
            "it away and run again."
        )
    return os.readlink(name, dir_fd=fd)


def read(path: str) -> Optional[str]:
    """Return where the symlink ``path`` points, None when there is nothing. Raises CiError for a file or
    directory.
    """
    fd = _open_parent(path, create=False)
    if fd is None:
        return None
    try:
        return _current(fd, path)
    except OSError as error:
        raise storage_error(f"looking at the link {path}", error) from error
    finally:
        os.close(fd)


def swap(path: str, target: str, durable: bool = True) -> bool:
    """Let ``path`` point to ``target`` from one moment to the next; return whether that changed anything.

    Without ``durable`` a power cut may take it back: right for what ends with the job anyway.
    """
    fd = _open_parent(path, create=True)
    if fd is None:
        return False
    try:
        if _current(fd, path) == target:
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
            os.fsync(fd)
        return True
    except OSError as error:
        raise storage_error(f"making the link {path}", error) from error
    finally:
        os.close(fd)


def remove(path: str, below: str) -> bool:
    """Remove the symlink ``path`` if it points to something below the directory ``below``: others are not
    ours.
    """
    return _remove(path, lambda target: target.startswith(below.rstrip("/") + "/"))


def remove_exactly(path: str, tree: str) -> bool:
    """Remove the symlink ``path`` if it points to ``tree`` or into it; what else is there is left alone."""
    return _remove(path, lambda target: (target + "/").startswith(tree + "/"), strict=False)


def _remove(path: str, is_ours: Callable[[str], bool], strict: bool = True) -> bool:
    fd = _open_parent(path, create=False)
    if fd is None:
        return False
    try:
        if not strict and not os.path.islink(path):
            return False
        if not is_ours(_current(fd, path) or ""):
            return False
        os.unlink(os.path.basename(path), dir_fd=fd)
        os.fsync(fd)
        return True
    except OSError as error:
        raise storage_error(f"removing the link {path}", error) from error
    finally:
        os.close(fd)
