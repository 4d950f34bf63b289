"""The wanted and the present state of a path, and how they differ."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import os
import pwd
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from .directories import PathError, open_directory

_MODE = re.compile(r"[0-7]{4}")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Entry:
    """One wanted path. ``kind`` is file, link or directory.

    ``target`` is where a link points to. ``sha256`` is that of a content which is not here; with it the
    entry can be compared, but not made.
    """

    path: str
    kind: str
    mode: int
    owner: str
    group: str
    content: bytes = b""
    target: str = ""
    validate: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Present:
    """The present state of a path.

    ``kind`` is missing, file, link, directory or other.
    """

    kind: str
    mode: int = 0
    uid: int = -1
    gid: int = -1
    content: bytes = b""
    target: str = ""


MISSING = Present("missing")


def entry_from(raw: dict[str, Any]) -> Entry:
    """Build an Entry from the module's dictionary for one file.

    Raises PathError for a bad mode.
    """
    kind = "link" if raw.get("link_to") else "directory" if raw.get("directory") else "file"
    mode = raw.get("mode") or ("0755" if kind == "directory" else "0644")
    if not _MODE.fullmatch(mode):
        raise PathError(
            f"The mode '{mode}' of '{raw['path']}' is not four octal digits in quotes, as in '0644'."
        )
    return Entry(
        path=raw["path"],
        kind=kind,
        mode=int(mode, 8),
        owner=raw.get("owner") or "root",
        group=raw.get("group") or "root",
        content=(raw.get("content") or "").encode(),
        target=raw.get("link_to") or "",
        validate=raw.get("validate") or "",
        sha256=raw.get("sha256") or "",
    )


def user_id(name: str) -> Optional[int]:
    """Return the id of user ``name``, or None if the host has no such user.

    A number is an id.
    """
    try:
        return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def group_id(name: str) -> Optional[int]:
    """Return the id of group ``name``, or None if the host has no such group.

    A number is an id.
    """
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        return None


@contextlib.contextmanager
def parent(path: str, *, create: bool = False) -> Iterator[tuple[Optional[int], str]]:
    """Yield the descriptor of the parent directory and the name in it.

    The descriptor is None if the directory is missing.
    """
    folder, name = os.path.split(path.rstrip("/"))
    if not name:
        raise PathError(f"The path '{path}' does not name a file; give a full path.")
    descriptor = open_directory(folder, create=create)
    if descriptor is None:
        yield None, name
        return
    try:
        yield descriptor, name
    finally:
        os.close(descriptor)


def look(path: str) -> Present:
    """Return the state of ``path`` without following a link there.

    Read a file's whole content.
    """
    with parent(path) as (descriptor, name):
        if descriptor is None:
            return MISSING
        try:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return MISSING
        content, target = b"", ""
        if stat.S_ISLNK(status.st_mode):
            kind, target = "link", os.readlink(name, dir_fd=descriptor)
        elif stat.S_ISDIR(status.st_mode):
            kind = "directory"
        elif stat.S_ISREG(status.st_mode):
            with open(os.open(name, _READ, dir_fd=descriptor), "rb") as stream:
                kind, content = "file", stream.read()
        else:
            kind = "other"
    return Present(kind, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, content, target)


def directory_behind(path: str, link: Present) -> Present:
    """Return the directory behind the link at ``path``, or ``link`` if there is none.

    The owner may have moved a directory to another disk and left a link; it counts as the directory itself.
    """
    descriptor = open_directory(path)
    if descriptor is None:
        return link
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return Present("directory", stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


def as_wanted(entry: Entry, present: Present) -> bool:
    """Return whether ``entry`` is already in place.

    An owner that does not exist is a difference.
    """
    owned = (present.uid, present.gid) == (user_id(entry.owner), group_id(entry.group))
    if present.kind != entry.kind or not owned:
        return False
    if entry.kind == "link":
        return present.target == entry.target
    if entry.sha256 and hashlib.sha256(present.content).hexdigest() != entry.sha256:
        return False
    return present.mode == entry.mode and (bool(entry.sha256) or present.content == entry.content)


def refuse_loss(entry: Entry, present: Present) -> None:
    """Raise PathError if making ``entry`` would destroy a path of another kind."""
    replaceable = ("missing", "directory") if entry.kind == "directory" else ("missing", "file", "link")
    if present.kind not in replaceable:
        there = "special file" if present.kind == "other" else present.kind
        raise PathError(
            f"'{entry.path}' must become a {entry.kind}, but a {there} is there and would be lost; "
            "move it away."
        )


def diffs(
    changes: Sequence[tuple[str, Present, Optional[Entry]]], brief: Collection[str]
) -> list[dict[str, str]]:
    """Return ``changes`` for Ansible's diff; the files in ``brief`` are only counted."""
    counted = [path for path, _present, _entry in changes if path in brief]
    shown = [diff_of(*change) for change in changes if change[0] not in brief]
    if counted:
        folder = os.path.commonpath([os.path.dirname(path) for path in counted])
        text = f"{len(counted)} changed files, whose contents are not shown\n"
        shown.append({"before_header": folder, "after_header": folder, "before": "", "after": text})
    return shown


def diff_of(path: str, present: Present, entry: Optional[Entry]) -> dict[str, str]:
    """Return a change for Ansible's diff; without ``entry`` the path is removed."""
    wanted = MISSING
    if entry is not None:
        uid, gid = user_id(entry.owner), group_id(entry.group)
        wanted = Present(
            entry.kind,
            entry.mode,
            -1 if uid is None else uid,
            -1 if gid is None else gid,
            entry.content,
            entry.target,
        )
    return {
        "before_header": path,
        "after_header": path,
        "before": _shown(present, wanted),
        "after": _shown(wanted, present),
    }


def _shown(state: Present, other: Present) -> str:
    """Return one side of a diff.

    Attributes only if they differ, or if there is no content.
    """
    if state.kind == "missing":
        return ""
    if state.kind == "link":
        return f"link to {state.target}\n"
    attributes = f"{state.kind} mode {state.mode:04o} owner {state.uid} group {state.gid}\n"
    same = (state.mode, state.uid, state.gid) == (other.mode, other.uid, other.gid)
    if state.kind == "file" and (other.kind != "file" or same):
        attributes = ""
    return attributes + state.content.decode(errors="replace")
