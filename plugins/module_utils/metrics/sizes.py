"""The sizes of caches: from the store's records, and by a walk for Rust."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Callable, NamedTuple, Optional

LEAST_SECONDS = 300.0
# A walk is repeated after so many times its own CPU time: it takes 0.01 % of a core at most.
_REST = 10_000


class StoreSizes(NamedTuple):
    """Bytes of all published trees, and of those that a link in ``models`` leads to."""

    store: int
    models: int


class StoreBooks:
    """Adds up the store's records, again only after a record has come or gone."""

    def __init__(self) -> None:
        self._seen: Optional[tuple[object, ...]] = None
        self._sizes = StoreSizes(0, 0)

    def sizes(self, store: str) -> StoreSizes:
        """Return the sizes of ``store``.

        Raises ``OSError`` when it is missing or cannot be read.
        """
        areas = [os.path.join(store, name) for name in ("trees", "refs", "models")]
        seen = (store, *(_modified_at(area) for area in areas))
        if all(moment is None for moment in seen[1:]):
            os.stat(store)
        if seen != self._seen:
            self._sizes = _added_up(store)
            self._seen = seen
        return self._sizes


def _modified_at(directory: str) -> Optional[int]:
    try:
        return os.stat(directory).st_mtime_ns
    except FileNotFoundError:
        return None


def _added_up(store: str) -> StoreSizes:
    # Imported here, because a program that reads the sampler's sample needs none of it.
    from ..store import trees
    from ..store.index import Index
    from ..store.layout import Layout

    layout = Layout(store)
    index = Index(layout)
    refs = index.refs()
    by_digest = {ref.sha256: ref.bytes for ref in refs.values()}
    sizes = {
        sha256: by_digest[sha256] if sha256 in by_digest else trees.tree_bytes(layout, index, sha256)
        for sha256 in trees.digests(layout)
    }
    linked = {refs[name].sha256 for name in trees.names_in(os.path.join(store, "models")) if name in refs}
    return StoreSizes(sum(sizes.values()), sum(sizes.get(sha256, 0) for sha256 in linked))


def tree_bytes(roots: Sequence[str]) -> int:
    """Return the bytes that the trees at ``roots`` occupy.

    Counts as ``du --dereference-args``. A root may be a symbolic link; links inside a tree are not followed,
    and a file with several names counts once. Files that disappear meanwhile are left out. Raises
    ``OSError`` when a root is missing.
    """
    seen: set[tuple[int, int]] = set()
    return sum(_tree_bytes(os.path.realpath(root), seen) for root in roots)


def _tree_bytes(root: str, seen: set[tuple[int, int]]) -> int:
    total = _new_bytes(os.lstat(root), seen)
    pending = [root]
    while pending:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    total += _new_bytes(entry.stat(follow_symlinks=False), seen)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
    return total


def _new_bytes(status: os.stat_result, seen: set[tuple[int, int]]) -> int:
    inode = (status.st_dev, status.st_ino)
    if inode in seen:
        return 0
    seen.add(inode)
    # st_blocks counts in 512 bytes, independently of the file system's block: stat(2).
    return status.st_blocks * 512


class InBackground:
    """Walks over directories in a thread and returns the latest result at once."""

    def __init__(self, tree_bytes: Callable[[Sequence[str]], int]) -> None:
        self._walk = tree_bytes
        self._thread: Optional[threading.Thread] = None
        self._result: Optional[int] = None
        self._due = 0.0

    def __call__(self, roots: Sequence[str]) -> int:
        """Return the size that the latest walk has counted.

        Raises LookupError before the first result.
        """
        if time.monotonic() >= self._due and not (self._thread and self._thread.is_alive()):
            self._thread = threading.Thread(target=self._refresh, args=(tuple(roots),), daemon=True)
            self._thread.start()
        if self._result is None:
            raise LookupError("no walk has ended yet")
        return self._result

    def _refresh(self, roots: Sequence[str]) -> None:
        begun = time.thread_time()
        try:
            self._result = self._walk(roots)
        except OSError:
            self._result = None
        self._due = time.monotonic() + max(LEAST_SECONDS, _REST * (time.thread_time() - begun))
