"""Who may do what with a digest at the same time: cargo's three modes on two kernel locks.

Reading holds ``mutate`` shared, for as long as the tree is used. Downloading holds ``mutate`` shared and
``download`` exclusive, so that one process fetches and the others wait for its result while readers read
on. Taking a tree away holds both exclusive. The order is always mutate, then download, so nobody waits in a
circle.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Optional

from ..host.flock import Flock, excludes
from .layout import Layout
from .progress import pulse

# File systems that share one directory between machines: their locks may be local, emulated or granted to
# all.
_NETWORK_TYPES = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "ceph",
    "lustre",
    "gpfs",
    "glusterfs",
    "afs",
    "fuse",
)
# A ref is written in milliseconds, so whoever waits longer waits for a stuck process.
_REFS_SECONDS = 60.0
# A collection deletes files, which may take a while on a slow disk.
_COLLECT_SECONDS = 600.0


class Locks:
    """The locks of the store ``layout``, after a test whether locks on its file system exclude at all."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.works = excludes(layout.locks)

    def shared_partials(self) -> bool:
        """Tell whether a half download may be continued by another process: only where locks can be
        believed.
        """
        kind = file_system_type(self._layout.root)
        return self.works and not kind.startswith(_NETWORK_TYPES)

    @contextlib.contextmanager
    def reading(self, sha256: str) -> Iterator[None]:
        """Hold the tree of ``sha256``: nobody takes it away meanwhile."""
        with self._held(Flock(self._layout.mutate_lock(sha256), shared=True), _REFS_SECONDS):
            yield

    @contextlib.contextmanager
    def downloading(self, sha256: str, name: str, patience_seconds: float) -> Iterator[None]:
        """Be the one that fetches ``sha256``. Waits for another one as long as its progress goes on."""
        path = self._layout.download_lock(sha256)
        progress = self._layout.progress(sha256)
        lock = Flock(path, mode=0o600, purpose=f"fetching {name}")
        with self._held(lock, patience_seconds, progress):
            yield

    @contextlib.contextmanager
    def changing_refs(self) -> Iterator[None]:
        """Be the only one that changes refs, links and the generated files."""
        with self._held(Flock(self._layout.refs_lock, mode=0o600, purpose="changing refs"), _REFS_SECONDS):
            yield

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Be the only one that collects: a second one would judge by what the first is taking away."""
        lock = Flock(self._layout.collect_lock, mode=0o600, purpose="collecting")
        with self._held(lock, _COLLECT_SECONDS):
            yield

    @contextlib.contextmanager
    def taking_away(self, sha256: str) -> Iterator[bool]:
        """Give True while nobody reads or fetches ``sha256``, False at once when somebody does."""
        if not self.works:
            yield True
            return
        mutate = Flock(self._layout.mutate_lock(sha256), purpose="removing")
        download = Flock(self._layout.download_lock(sha256), mode=0o600, purpose="removing")
        try:
            yield mutate.try_acquire() and download.try_acquire()
        finally:
            download.release()
            mutate.release()

    @contextlib.contextmanager
    def _held(self, lock: Flock, patience_seconds: float, progress: Optional[str] = None) -> Iterator[None]:
        if not self.works:
            yield
            return
        lock.acquire(patience_seconds, (lambda: pulse(progress)) if progress else None)
        try:
            yield
        finally:
            lock.release()


def file_system_type(path: str) -> str:
    """Return the type of the file system that holds ``path``, as /proc/self/mountinfo names it, or empty."""
    best, kind = "", ""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
            for line in stream:
                fields, _dash, source = line.partition(" - ")
                # The later of two mounts on one point hides the earlier, hence >=.
                point = fields.split()[4].replace("\\040", " ")
                if (path + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best):
                    best, kind = point, source.split()[0]
    except (OSError, IndexError):
        return ""
    return kind
