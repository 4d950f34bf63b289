"""Reaching a directory without being led astray by a link that somebody else planted on the way."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from typing import Optional

from .errors import CiError

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS = 40  # the kernel's own limit (path_resolution(7))


class PathError(CiError):
    """A path that cannot be used as asked."""


def open_directory(path: str, *, create: bool = False) -> Optional[int]:
    """Open the directory at absolute ``path`` and return its descriptor; None when it does not exist.

    A symbolic link on the way is followed only when it belongs to root or to the running user. Missing
    directories are made, mode 0755, when ``create`` is set. Raises PathError for anything else in the way.
    """
    parts = deque(_components(path))
    here = os.open("/", _OPEN_DIRECTORY)
    walked = "/"
    links = 0
    try:
        while parts:
            part = parts.popleft()
            try:
                below = os.open(part, _OPEN_DIRECTORY, dir_fd=here)
            except FileNotFoundError:
                if not create:
                    os.close(here)
                    return None
                below = _make_directory(part, here)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                links += 1
                target = _trusted_link(part, here, os.path.join(walked, part), links)
                parts.extendleft(reversed(_split(target)))
                if not target.startswith("/"):
                    continue
                below, part, walked = os.open("/", _OPEN_DIRECTORY), "", "/"
            os.close(here)
            here = below
            walked = os.path.normpath(os.path.join(walked, part))
    except BaseException:
        os.close(here)
        raise
    return here


def _components(path: str) -> list[str]:
    if not path.startswith("/") or ".." in path.split("/"):
        raise PathError(f"The path '{path}' is not absolute and plain; give a full path without '..'.")
    return _split(path)


def _split(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _make_directory(name: str, parent: int) -> int:
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:  # another process was faster; what it made is opened like any other
        return os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
    made = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
    os.fchmod(made, 0o755)  # the caller's umask may be 077
    return made


def _trusted_link(name: str, parent: int, shown: str, links: int) -> str:
    """Return where the link ``name`` points to, or say why it is not followed."""
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        raise PathError(f"'{shown}' is not a directory, but a path below it is wanted; move it away.")
    if found.st_uid not in (0, os.geteuid()):
        raise PathError(
            f"'{shown}' is a link that belongs to user id {found.st_uid}, so it is not followed; "
            "replace it by a directory or by a link that root owns."
        )
    if links > _MAX_LINKS:
        raise PathError(f"'{shown}' is part of a circle of links; mend the links.")
    return os.readlink(name, dir_fd=parent)
