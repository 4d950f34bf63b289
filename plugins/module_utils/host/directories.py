"""Open a directory or a file without following another user's link.

Where a user with fewer rights may write, reading a file opens neither a link nor a pipe.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections import deque
from typing import Any, Optional

from ..errors import CiError

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS = 40  # the kernel's own limit (path_resolution(7))


class PathError(CiError):
    """A path that cannot be used as asked."""


def open_directory(path: str, *, create: bool = False) -> Optional[int]:
    """Open the directory at absolute ``path`` and return its descriptor.

    None when it does not exist. A symbolic link on the way is followed only when root or the running user
    owns it, and no other user can put names into its directory. Missing directories are made, mode 0755,
    when ``create`` is set. Raises PathError for anything else in the way.
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
    link, directory = os.stat(name, dir_fd=parent, follow_symlinks=False), os.fstat(parent)
    if not stat.S_ISLNK(link.st_mode):
        raise PathError(f"'{shown}' is not a directory, but a path below it is wanted; move it away.")
    trusted = (0, os.geteuid())
    if link.st_uid not in trusted or directory.st_uid not in trusted or directory.st_mode & 0o022:
        raise PathError(
            f"'{shown}' is a link that others could have planted: it belongs to user id {link.st_uid}, its "
            f"directory to user id {directory.st_uid} with mode {directory.st_mode & 0o7777:04o}; replace it "
            "by a directory, or choose a path that only root can write to."
        )
    if links > _MAX_LINKS:
        raise PathError(f"'{shown}' is part of a circle of links; correct the links.")
    return os.readlink(name, dir_fd=parent)


def free_bytes(path: str) -> int:
    """Return the bytes free to users on the file system of ``path``, there or not."""
    there = os.path.abspath(path)
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    status = os.statvfs(there)
    return status.f_bavail * status.f_frsize


_MOST_BYTES = 2**20


def open_regular(path: str, flags: int) -> int:
    """Open the regular file ``path`` itself, as an opener for ``open``.

    Raises OSError for anything else.
    """
    # A planted pipe would block the open, or have no end.
    opened = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return opened


def load_json(path: str, most_bytes: int = _MOST_BYTES) -> dict[str, Any]:
    """Return the JSON object in the file ``path``.

    Raises OSError when it cannot be read, ValueError or RecursionError when it is none, or longer than
    ``most_bytes``.
    """
    with open(path, "rb", opener=open_regular) as stream:
        data = json.loads(stream.read(most_bytes))
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds no JSON object")
    return data


def read_json(path: str, most_bytes: int = _MOST_BYTES) -> Optional[dict[str, Any]]:
    """Return what ``load_json`` does, None where it raises."""
    try:
        return load_json(path, most_bytes)
    except (OSError, ValueError, RecursionError):
        return None
