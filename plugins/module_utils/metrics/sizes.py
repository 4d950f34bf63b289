"""How much caches hold, without walking over gigabytes: the store says it itself, the rest is remembered."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from typing import Callable, NamedTuple, Optional

LEAST_SECONDS = 300.0
# So many times longer than a walk took it is not repeated: 0.01 % of a core at most goes into it.
_REST = 10_000


class StoreSizes(NamedTuple):
    """Bytes of all published trees, and of those that the links for models lead to."""

    store: int
    models: int


class StoreBooks:
    """Adds up what the store's own records say, again only when a record came or went."""

    def __init__(self) -> None:
        self._seen: Optional[tuple[object, ...]] = None
        self._sizes = StoreSizes(0, 0)

    def sizes(self, store: str) -> StoreSizes:
        """Return the sizes of ``store``; raises ``OSError`` when there is none or it cannot be read."""
        areas = [os.path.join(store, name) for name in ("trees", "refs", "models")]
        seen = (store, *(_moved_at(area) for area in areas))
        if all(moment is None for moment in seen[1:]):
            os.stat(store)
        if seen != self._seen:
            self._sizes = _added_up(store)
            self._seen = seen
        return self._sizes


def _moved_at(directory: str) -> Optional[int]:
    try:
        return os.stat(directory).st_mtime_ns
    except FileNotFoundError:
        return None


def _added_up(store: str) -> StoreSizes:
    # Late, because a program that only reads what a sampler wrote needs none of it.
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


class InBackground:
    """Walks over directories in a thread now and then, and gives the latest result at once."""

    def __init__(self, tree_bytes: Callable[[Sequence[str]], int]) -> None:
        self._walk = tree_bytes
        self._thread: Optional[threading.Thread] = None
        self._result: Optional[int] = None
        self._due = 0.0

    def __call__(self, roots: Sequence[str]) -> int:
        """Return the size when it was last looked at; raises LookupError as long as nobody knows it."""
        if time.monotonic() >= self._due and not (self._thread and self._thread.is_alive()):
            self._thread = threading.Thread(target=self._refresh, args=(tuple(roots),), daemon=True)
            self._thread.start()
        if self._result is None:
            raise LookupError("not known yet")
        return self._result

    def _refresh(self, roots: Sequence[str]) -> None:
        begun = time.thread_time()
        try:
            self._result = self._walk(roots)
        except OSError:
            self._result = None
        self._due = time.monotonic() + max(LEAST_SECONDS, _REST * (time.thread_time() - begun))
