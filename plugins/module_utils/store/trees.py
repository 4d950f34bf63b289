"""The trees of a store with names, size, last use, and what keeps them.

Nothing here changes the store.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional

from ..host.flock import occupied
from ..host.kernel_locks import describe_holders, snapshot
from .index import Index, Ref
from .layout import Layout


class Tree(NamedTuple):
    """One published tree, as the collection sees it.

    ``last_used`` is in seconds since the epoch. ``held`` is why the tree must stay in any case (pinned, being
    read, wanted by the inventory, a program's fixed path), ``linked`` why it must stay when only space is
    missing; both are empty for no reason. It is ``released`` if every name is.
    """

    sha256: str
    bytes: int
    last_used: float
    names: tuple[str, ...] = ()
    held: str = ""
    linked: str = ""
    released: bool = False


class Disk(NamedTuple):
    """The file system of the store: its size, and what is free for its users."""

    total_bytes: int
    free_bytes: int


_DIGEST = re.compile(r"[0-9a-f]{64}")
HELD = ("shared", "exclusive")


class Users(NamedTuple):
    """The processes that read and fetch a digest now, as phrases; empty for none."""

    reading: str = ""
    fetching: str = ""

    @property
    def text(self) -> str:
        return self.fetching or self.reading


class Uses:
    """The uses of all digests, by their kernel locks."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._locks = snapshot()

    def of(self, sha256: str) -> Users:
        """Return the processes that read and fetch ``sha256``."""
        mutate, download = self._layout.mutate_lock(sha256), self._layout.download_lock(sha256)
        return Users(
            f"in use by {describe_holders(mutate, self._locks)}" if occupied(mutate) in HELD else "",
            f"being fetched by {describe_holders(download, self._locks)}"
            if occupied(download) in HELD
            else "",
        )


def names_by_digest(refs: Mapping[str, Ref]) -> dict[str, list[Ref]]:
    """Return the refs of every digest that has one."""
    by_digest: dict[str, list[Ref]] = {}
    for name in sorted(refs):
        by_digest.setdefault(refs[name].sha256, []).append(refs[name])
    return by_digest


def digests(layout: Layout) -> list[str]:
    """Return the digests of all trees on disk, in order."""
    return [name for name in names_in(layout.trees) if _DIGEST.fullmatch(name)]


def read_trees(layout: Layout, index: Index) -> list[Tree]:
    """Return all published trees with what protects them."""
    by_digest = names_by_digest(index.refs())
    uses = Uses(layout)
    trees = []
    for sha256 in digests(layout):
        refs = by_digest.get(sha256, [])
        held, linked = protection(layout, refs)
        if not held and has_names_elsewhere(layout.tree(sha256)):
            held = "its files are in use elsewhere as hard links, so removing it would free nothing"
        trees.append(
            Tree(
                sha256=sha256,
                bytes=tree_bytes(layout, index, sha256),
                last_used=last_used_at(layout, sha256),
                names=tuple(ref.name for ref in refs),
                held=held or uses.of(sha256).text,
                linked=linked,
                released=bool(refs) and all(ref.released for ref in refs),
            )
        )
    return trees


def protection(layout: Layout, refs: Iterable[Ref]) -> tuple[str, str]:
    """Return why the tree of ``refs`` must stay: in any case, and as to space.

    The second reason holds it when only space is missing. Programs use a link to a library, runner or
    toolchain without a lock, so the link holds the tree. Jobs record their uses of models, so a model's link
    holds the tree only until it is too old. The link of a released name holds nothing.
    """
    held = linked = ""
    for ref in refs:
        if ref.pinned:
            return f"pinned as {ref.name}", ""
        if ref.wanted:
            return f"the inventory lists {ref.name}", ""
        if ref.link and not ref.released and leads_into(ref.link, layout.tree(ref.sha256)):
            if ref.kind == "model":
                linked = linked or f"linked from {ref.link}"
            else:
                held = held or f"linked from {ref.link}"
    return held, linked


def has_names_elsewhere(tree: str) -> bool:
    """Tell whether a file of ``tree`` has hard links outside.

    The runner instances make such links.
    """
    missing: dict[int, int] = {}
    for directory, _directories, files in os.walk(tree):
        for name in files:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(directory, name))
                if status.st_nlink > 1:
                    missing[status.st_ino] = missing.get(status.st_ino, status.st_nlink) - 1
    return any(missing.values())


def leads_into(link: str, tree: str) -> bool:
    """Tell whether the symlink ``link`` points to ``tree`` or into it."""
    try:
        target = os.readlink(link)
    except OSError:
        return False
    return (target + "/").startswith(tree + "/")


def tree_bytes(layout: Layout, index: Index, sha256: str) -> int:
    """Return the size of a tree: from its receipt, else from the disk."""
    receipt = index.receipt(sha256)
    return receipt.unpacked_bytes if receipt else bytes_below(layout.tree(sha256))


def bytes_below(path: str) -> int:
    """Return the size of the files at and below ``path``.

    A file that vanishes meanwhile counts 0.
    """
    try:
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode):
            return status.st_size if stat.S_ISREG(status.st_mode) else 0
        return sum(bytes_below(os.path.join(path, name)) for name in os.listdir(path))
    except OSError:
        return 0


def last_used_at(layout: Layout, sha256: str) -> float:
    """Return the last use of ``sha256`` in seconds since the epoch.

    Its publication counts as a use.
    """
    for path in (layout.last_used(sha256), layout.receipt(sha256), layout.tree(sha256)):
        moment = _mtime(path)
        if moment is not None:
            return moment
    return 0.0


def newest_write(layout: Layout) -> float:
    """Return the last write to the store's index, 0 for never.

    The unit is seconds since the epoch.
    """
    areas = [layout.area(name) for name in ("refs", "receipts", "last_used", "trees", "models")]
    uses = [os.path.join(layout.area("last_used"), name) for name in names_in(layout.area("last_used"))]
    return max((moment for moment in map(_mtime, [*areas, *uses, layout.manifest]) if moment), default=0.0)


def measure_disk(layout: Layout) -> Disk:
    """Return the size of the store's file system and what is free to its users."""
    status = os.statvfs(layout.root)
    return Disk(status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize)


def names_in(directory: str) -> list[str]:
    """Return the sorted names in ``directory``, none when there is no such directory."""
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _mtime(path: str) -> Optional[float]:
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return None
