"""Taking things out of sight by one rename, and clearing away what a killed process left behind."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable

from ..flock import Flock
from . import links
from .durable import sync_path
from .layout import Layout
from .records import Records
from .refs import Ref

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
    """Delete what is left in trash, and in staging what no living process is filling."""
    for name in _names(layout.trash):
        shutil.rmtree(os.path.join(layout.trash, name), ignore_errors=True)
    for name in _names(layout.staging):
        path = os.path.join(layout.staging, name)
        if not locking:
            if _age_seconds(path) > _UNLOCKED_LEFTOVER_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
            continue
        lock = Flock(layout.download_lock(name.partition(".")[0]), mode=0o600, purpose="clearing staging")
        if lock.try_acquire():
            try:
                shutil.rmtree(path, ignore_errors=True)
            finally:
                lock.release()


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
