"""Removal from the store: trees, names, and what interrupted work left.

A tree disappears by one rename and is deleted afterwards, so no reader sees half of it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..host.durable import remove_file, sync_path
from ..host.flock import Flock, occupied
from . import links
from .index import Index, Ref
from .layout import Layout
from .trees import HELD, bytes_below, digests, names_in

# The names that ``durable.replace_file`` and ``links.swap`` give to what they move into place within a
# second.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}")
_TEMPORARY_AREAS = ("", "refs", "receipts", "models", "leases", "counters")
# What belongs to a download; the holder of its lock writes there, and no other process.
_DOWNLOAD_AREAS = ("staging", "partial", "progress")
_TREE_AREAS = ("receipts", "last_used")


def discard_tree(layout: Layout, index: Index, sha256: str) -> None:
    """Remove the tree of ``sha256``. The caller holds its lock."""
    doomed = layout.fresh("trash", sha256)
    try:
        os.rename(layout.tree(sha256), doomed)
    except FileNotFoundError:
        pass
    else:
        sync_path(layout.trees)
    index.drop_receipt(sha256)
    shutil.rmtree(doomed, ignore_errors=True)


def forget_names(layout: Layout, index: Index, refs: Iterable[Ref]) -> None:
    """Remove ``refs``, and their links as far as these still point to the tree.

    The caller holds the lock on refs. Links go first: at no moment is there a link that no ref knows of.
    """
    for ref in refs:
        tree = layout.tree(ref.sha256)
        for link, target in ((ref.link, tree), (layout.model(ref.name), f"../trees/{ref.sha256}")):
            if link:
                links.remove_exactly(link, target)
        index.drop_ref(ref.name)
    index.regenerate()


class Leftover(NamedTuple):
    """Something that interrupted work left.

    ``sha256`` is empty for what belongs to no download.
    """

    path: str
    sha256: str
    bytes: int


def interrupted(layout: Layout, old_before: float = 0.0, pressed: bool = False) -> Iterator[Leftover]:
    """Yield what no process works on in trash and in the areas of downloads.

    A broken download stays for the next try while its tree is missing, unless it was last written before
    ``old_before`` (seconds since the epoch) or the disk is ``pressed`` for space.
    """
    for name in names_in(layout.area("trash")):
        path = os.path.join(layout.area("trash"), name)
        yield Leftover(path, "", bytes_below(path))
    for area in _DOWNLOAD_AREAS:
        for path, sha256 in _by_digest(layout, area):
            if occupied(layout.download_lock(sha256)) in HELD:
                continue
            waits = area == "partial" and not _is_temporary(path) and not os.path.lexists(layout.tree(sha256))
            if not waits or pressed or _is_older(path, old_before):
                yield Leftover(path, sha256, bytes_below(path))


def orphaned(layout: Layout, old_before: float = 0.0) -> Iterator[Leftover]:
    """Yield receipts and last uses without a tree, and old temporary files.

    Those are older than ``old_before``.
    """
    present = set(digests(layout))
    for area in _TREE_AREAS:
        for path, sha256 in _by_digest(layout, area):
            if not _is_temporary(path) and sha256 not in present:
                yield Leftover(path, sha256, 0)
    for area in _TEMPORARY_AREAS:
        for name in names_in(layout.area(area)):
            path = os.path.join(layout.area(area), name)
            if _is_temporary(path) and _is_older(path, old_before):
                yield Leftover(path, "", 0)


def clear(layout: Layout, leftover: Leftover) -> bool:
    """Delete ``leftover``; return whether it is gone.

    It stays when a process fetches its digest by now.
    """
    lock = Flock(layout.download_lock(leftover.sha256), mode=0o600) if leftover.sha256 else None
    if lock and not lock.try_acquire():
        return False
    try:
        area = os.path.basename(os.path.dirname(leftover.path))
        if lock and area in _TREE_AREAS and os.path.lexists(layout.tree(leftover.sha256)):
            return False  # published since we looked
        shutil.rmtree(leftover.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            remove_file(leftover.path)
        return not os.path.lexists(leftover.path)
    finally:
        if lock:
            lock.release()


def _by_digest(layout: Layout, area: str) -> Iterator[tuple[str, str]]:
    """Yield path and digest of everything in ``area``.

    Names of temporary files begin with a dot.
    """
    for name in names_in(layout.area(area)):
        yield os.path.join(layout.area(area), name), name.lstrip(".").partition(".")[0]


def _is_temporary(path: str) -> bool:
    return _TEMPORARY.fullmatch(os.path.basename(path)) is not None


def _is_older(path: str, moment: float) -> bool:
    try:
        return os.lstat(path).st_mtime < moment
    except OSError:
        return False
