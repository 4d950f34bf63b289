"""The rules for the paths of an archive. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

from ..errors import CiError

FILE, DIRECTORY, SYMLINK, HARDLINK = "file", "directory", "symlink", "hardlink"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:")
# Linux allows 255 bytes per name and 4096 per path; the store's own prefix needs some of the latter.
_MAX_NAME_BYTES = 255
_MAX_PATH_BYTES = 3072
# The kernel gives up after 40 links as well (path_resolution(7)).
_MAX_LINKS_FOLLOWED = 40
# A small archive may compress very well without harm; only its size tells a bomb.
_RATIO_FREE_BYTES = 64 * 1024 * 1024


class ArchiveError(CiError):
    """The reason why an archive is refused.

    It is a phrase, of which the caller makes a sentence.
    """


class Limits(NamedTuple):
    """The most that an archive may unpack to.

    ``max_ratio`` is unpacked bytes per archive byte.
    """

    max_unpacked_bytes: int
    max_ratio: int
    max_entries: int


def member_path(name: str) -> Optional[str]:
    """Return ``name`` as a normal relative path, None when no part is left.

    ``.`` and empty parts do not count. Raises ArchiveError for a name that could leave the tree or confuse a
    reader.
    """
    shown = name[:200].encode("unicode_escape").decode()
    if _CONTROL.search(name):
        raise ArchiveError(f"'{shown}' contains a control character")
    if name.startswith("/") or _DRIVE.match(name):
        raise ArchiveError(f"'{shown}' is an absolute path")
    if "\\" in name:
        raise ArchiveError(f"'{shown}' contains a backslash")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ArchiveError(f"'{shown}' contains '..'")
    encoded = [len(part.encode(errors="surrogateescape")) for part in parts]
    if any(size > _MAX_NAME_BYTES for size in encoded) or sum(encoded) + len(encoded) > _MAX_PATH_BYTES:
        raise ArchiveError(f"'{shown}…' is too long a name")
    return "/".join(parts) or None


class Placing:
    """The paths of an archive's members in the tree, without their first ``strip`` directories.

    Leaves out what macOS adds to archives, and hidden files next to the one top directory. Two top
    directories are never merged.
    """

    def __init__(self, strip: int) -> None:
        self._strip = strip
        self._top: list[str] = []

    def place(self, name: str, is_directory: bool) -> Optional[str]:
        """Return the path of the member ``name``, None if it has none in the tree.

        Raises ArchiveError for a name that is not allowed.
        """
        whole = member_path(name)
        if whole is None:
            return None
        parts = whole.split("/")
        is_beside = 0 < len(parts) <= self._strip
        if _is_of_macos(parts) or (is_beside and parts[-1].startswith(".") and not is_directory):
            return None
        if is_beside and not is_directory:
            raise ArchiveError(f"'{name}' is not below {self._strip} directories, as strip_components says")
        top = parts[: self._strip]
        shared = min(len(top), len(self._top))
        if top[:shared] != self._top[:shared]:
            raise ArchiveError(
                f"it has two top directories, '{'/'.join(self._top)}' and '{'/'.join(top)}', whose files "
                "would be mixed without them"
            )
        self._top = max(self._top, top, key=len)
        return "/".join(parts[self._strip :]) or None


def _is_of_macos(parts: Sequence[str]) -> bool:
    """Return whether Finder or the tar of macOS has added this: resource forks and folder views."""
    return parts[0] == "__MACOSX" or parts[-1] == ".DS_Store" or parts[-1].startswith("._")


def parent_of(path: str) -> str:
    """Return the directory part of a normal relative path, empty for a top entry."""
    return path.rpartition("/")[0]


def resolve(path: str, target: str, links: Mapping[str, str]) -> str:
    """Return the end of the symlink ``path`` -> ``target`` in a tree.

    ``links`` are all symlinks of the tree. Follows the kernel's rules name by name: ``..`` after a link to a
    directory counts from the end of that link. Raises ArchiveError when the way leaves the tree, is absolute
    or does not end.
    """
    place = [part for part in parent_of(path).split("/") if part]
    pending = target.split("/")[::-1]
    followed = 0
    if target.startswith("/"):
        raise ArchiveError(f"the link '{path}' points to the absolute path '{target}'")
    while pending:
        part = pending.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not place:
                raise ArchiveError(f"the link '{path}' -> '{target}' leads out of the archive")
            place.pop()
            continue
        place.append(part)
        onward = links.get("/".join(place))
        if onward is not None:
            followed += 1
            if onward.startswith("/") or followed > _MAX_LINKS_FOLLOWED:
                raise ArchiveError(f"the link '{path}' -> '{target}' leads out of the archive or never ends")
            place.pop()
            pending.extend(onward.split("/")[::-1])
    return "/".join(place)


class Outline:
    """The entries of an archive so far.

    Raises ArchiveError at the first that is not allowed.
    """

    def __init__(self, limits: Limits, archive_bytes: int) -> None:
        self._limits = limits
        self._archive_bytes = max(1, archive_bytes)
        self._members = 0
        self._kinds: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.unpacked_bytes = 0

    def add(self, path: str, kind: str, size: int = 0, target: str = "") -> None:
        """Add one entry (``path`` from ``member_path``); ``target`` is a link's."""
        self._add_parents(path)
        known = self._kinds.get(path)
        if known is not None and not known == kind == DIRECTORY:
            raise ArchiveError(f"'{path}' appears twice")
        self._kinds[path] = kind
        self._require_few(len(self._kinds))
        if kind == SYMLINK:
            self.links[path] = target
        elif kind == HARDLINK and self._kinds.get(target) not in (FILE, HARDLINK):
            raise ArchiveError(
                f"the hard link '{path}' points to '{target}', which is no file before it in the archive"
            )
        self._add_bytes(size)

    def count(self) -> None:
        """Count a member.

        It may bring no entry: a directory without a path, or one known already.
        """
        self._members += 1
        self._require_few(self._members)

    def finish(self) -> None:
        """Check the symlinks, which only the whole archive can show."""
        for path, target in self.links.items():
            resolve(path, target, self.links)

    def _add_parents(self, path: str) -> None:
        parent = parent_of(path)
        while parent:
            known = self._kinds.get(parent)
            if known == DIRECTORY:
                return
            if known is not None:
                raise ArchiveError(f"'{path}' is below '{parent}', which is a {known}")
            self._kinds[parent] = DIRECTORY
            parent = parent_of(parent)

    def _require_few(self, entries: int) -> None:
        if entries > self._limits.max_entries:
            raise ArchiveError(f"it has more than max_entries={self._limits.max_entries} entries")

    def _add_bytes(self, size: int) -> None:
        self.unpacked_bytes += size
        limits = self._limits
        if self.unpacked_bytes > limits.max_unpacked_bytes:
            raise ArchiveError(
                f"it unpacks to more than max_unpacked_bytes={limits.max_unpacked_bytes} bytes"
            )
        if self.unpacked_bytes > max(_RATIO_FREE_BYTES, limits.max_ratio * self._archive_bytes):
            raise ArchiveError(f"it unpacks to more than max_ratio={limits.max_ratio} times its own size")
