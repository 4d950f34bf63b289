"""What lies in a store: its trees with names, size, last use, and who keeps them. Changes nothing."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional

from ..host import kernel_locks
from ..host.flock import occupied
from . import links
from .layout import Layout
from .records import Records, Ref


class Tree(NamedTuple):
    """One published tree, as far as collecting is concerned.

    ``last_used`` is in seconds since the epoch. ``held`` says why the tree must stay whatever is asked for
    (pinned, being read, a program's fixed path), ``linked`` what keeps it against a want of room alone; both
    are empty for nothing.
    """

    sha256: str
    bytes: int
    last_used: float
    names: tuple[str, ...] = ()
    held: str = ""
    linked: str = ""


class Disk(NamedTuple):
    """The file system of the store: its size, and what is free to its users."""

    total_bytes: int
    free_bytes: int


_DIGEST = re.compile(r"[0-9a-f]{64}")
HELD = ("shared", "exclusive")
NO_LOCKS = "locks do not exclude on this file system, so nobody can tell who uses it"


class Use(NamedTuple):
    """Who has a digest at this moment, in a few words; both empty for nobody."""

    reading: str = ""
    fetching: str = ""

    @property
    def text(self) -> str:
        return self.fetching or self.reading


class Uses:
    """Asks the kernel who has which digest."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._locks = kernel_locks.snapshot()

    def of(self, sha256: str) -> Use:
        """Return who reads and who fetches ``sha256``."""
        mutate, download = self._layout.mutate_lock(sha256), self._layout.download_lock(sha256)
        return Use(
            f"in use by {self._who(mutate)}" if occupied(mutate) in HELD else "",
            f"being fetched by {self._who(download)}" if occupied(download) in HELD else "",
        )

    def _who(self, path: str) -> str:
        """Return the processes that hold the lock file ``path``, for a sentence."""
        try:
            found = kernel_locks.on_file(self._locks, os.stat(path))
        except OSError:
            found = []
        pids = sorted({lock.pid for lock in found if lock.pid and not lock.waiting})
        named = [f"{pid} ({kernel_locks.process_name(pid) or 'ended'})" for pid in pids]
        return f"process {', '.join(named)}" if named else "an unknown process"


def names_by_digest(refs: Mapping[str, Ref]) -> dict[str, list[Ref]]:
    """Return the refs of every digest that has one."""
    found: dict[str, list[Ref]] = {}
    for name in sorted(refs):
        found.setdefault(refs[name].sha256, []).append(refs[name])
    return found


def digests(layout: Layout) -> list[str]:
    """Return the digests of all trees on disk, in order."""
    return [name for name in names_in(layout.trees) if _DIGEST.fullmatch(name)]


def read_trees(layout: Layout, records: Records, *, locking: bool = True) -> list[Tree]:
    """Return all published trees with what protects them. ``locking`` false: nobody's use can be seen."""
    by_digest = names_by_digest(records.refs())
    uses = Uses(layout)
    found = []
    for sha256 in digests(layout):
        refs = by_digest.get(sha256, [])
        use = uses.of(sha256).text if locking else NO_LOCKS
        held, linked = protection(layout, refs)
        if not held and has_names_elsewhere(layout.tree(sha256)):
            held = "its files are in use elsewhere as hard links, so removing it would free nothing"
        found.append(
            Tree(
                sha256=sha256,
                bytes=tree_bytes(layout, records, sha256),
                last_used=last_used_at(layout, sha256),
                names=tuple(ref.name for ref in refs),
                held=held or use,
                linked=linked,
            )
        )
    return found


def protection(layout: Layout, refs: Iterable[Ref]) -> tuple[str, str]:
    """Return why the tree of ``refs`` must stay, and what keeps it against a want of room alone.

    A link to a library, runner or toolchain is a path that programs use without asking, so it holds the
    tree. Jobs mark the models that they use, so a model's link holds it only as long as it is not too old.
    """
    held = linked = ""
    for ref in refs:
        if ref.pinned:
            return f"pinned as {ref.name}", ""
        if ref.link and leads_into(ref.link, layout.tree(ref.sha256)):
            if ref.kind == "model":
                linked = linked or f"linked from {ref.link}"
            else:
                held = held or f"linked from {ref.link}"
    return held, linked


def has_names_elsewhere(tree: str) -> bool:
    """Tell whether a file of ``tree`` has hard links outside of it, as the runner instances make them."""
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


def models_link_leads(layout: Layout, ref: Ref) -> bool:
    """Tell whether the store's own model link of ``ref`` points to its tree."""
    return links.read(layout.model(ref.name)) == f"../trees/{ref.sha256}"


def tree_bytes(layout: Layout, records: Records, sha256: str) -> int:
    """Return the size of a tree: as its receipt says, else as the disk does."""
    receipt = records.receipt(sha256)
    return receipt.unpacked_bytes if receipt else bytes_below(layout.tree(sha256))


def bytes_below(path: str) -> int:
    """Return the size of the files at and below ``path``; what vanishes meanwhile counts nothing."""
    try:
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode):
            return status.st_size if stat.S_ISREG(status.st_mode) else 0
        return sum(bytes_below(os.path.join(path, name)) for name in os.listdir(path))
    except OSError:
        return 0


def last_used_at(layout: Layout, sha256: str) -> float:
    """Return when ``sha256`` was last used, in seconds since the epoch; its publication counts as a use."""
    for path in (layout.last_used(sha256), layout.receipt(sha256), layout.tree(sha256)):
        moment = _mtime(path)
        if moment is not None:
            return moment
    return 0.0


def newest_write(layout: Layout) -> float:
    """Return when anything was last written to the store's books, in seconds since the epoch, 0 for never."""
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
