"""Taking things out of sight by one rename, and clearing away what a killed process left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable

from ..host.durable import sync_path
from ..host.flock import Flock
from . import links
from .layout import Layout
from .records import Records, Ref

# Without locks nobody can tell whether a directory in staging is in use; after a day it is not.
_UNLOCKED_LEFTOVER_SECONDS = 86400


def discard_tree(layout: Layout, records: Records, sha256: str) -> None:
    """Take the tree of ``sha256`` away: unseen at once, deleted then. The caller holds its lock."""
    doomed = layout.fresh("trash", sha256)
    try:
        os.rename(layout.tree(sha256), doomed)
    except FileNotFoundError:
        pass
    else:
        sync_path(layout.trees)
    records.drop_receipt(sha256)
    shutil.rmtree(doomed, ignore_errors=True)


def forget_names(layout: Layout, records: Records, refs: Iterable[Ref]) -> None:
    """Remove ``refs`` with their links, as far as these still lead to the tree, and write the books anew.

    The caller holds the lock on refs. Links go first: then no moment has a link that no ref knows of.
    """
    for ref in refs:
        tree = layout.tree(ref.sha256)
        for link, target in ((ref.link, tree), (layout.model(ref.name), f"../trees/{ref.sha256}")):
            if link:
                links.remove_exactly(link, target)
        records.drop_ref(ref.name)
    records.regenerate()


def sweep(layout: Layout, locking: bool) -> None:
    """Delete what is left in trash, in staging and of half-written notes where no process is at work, and
    the downloads of published trees.
    """
    for name in _names(layout.trash):
        shutil.rmtree(os.path.join(layout.trash, name), ignore_errors=True)
    for area in (layout.staging, layout.partials, layout.progresses):
        for name in _names(area):
            # What replace_file is about to rename into place begins with a dot.
            sha256, is_temporary = name.lstrip(".").partition(".")[0], name.startswith(".")
            if area == layout.staging or is_temporary or os.path.lexists(layout.tree(sha256)):
                _clear(layout, os.path.join(area, name), sha256, locking)


def _clear(layout: Layout, path: str, sha256: str, locking: bool) -> None:
    """Delete ``path`` unless somebody is at work on ``sha256``."""
    if not locking:
        if _age_seconds(path) > _UNLOCKED_LEFTOVER_SECONDS:
            _delete(path)
        return
    lock = Flock(layout.download_lock(sha256), mode=0o600, purpose="clearing up")
    if lock.try_acquire():
        try:
            _delete(path)
        finally:
            lock.release()


def _delete(path: str) -> None:
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(path)


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def _age_seconds(path: str) -> float:
    try:
        return time.time() - os.lstat(path).st_mtime
    except FileNotFoundError:
        return 0.0
