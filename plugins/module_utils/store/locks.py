"""Three modes of work on a digest, on two kernel locks.

cargo locks its package cache in the same way. A reader holds ``mutate`` shared as long as it uses the tree. A
downloader holds ``mutate`` shared and ``download`` exclusive: one process fetches, the others wait for its
result, and readers read on. A remover holds both exclusive. The order is always ``mutate``, then
``download``, so no two processes wait for each other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Optional

from ..errors import CiError
from ..host.flock import Flock, require_flock
from .layout import Layout
from .progress import pulse

# File systems that share one directory between machines: their locks may hold only within one of them.
_NETWORK_TYPES = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "ceph",
    "lustre",
    "gpfs",
    "afs",
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.ceph",
)
# A ref is written in milliseconds, so a longer wait is for a stuck process.
_REFS_SECONDS = 60.0
# A collection deletes files, which may take a while on a slow disk.
_COLLECT_SECONDS = 600.0


class Locks:
    """The locks of the store ``layout``.

    Raises CiError where its file system cannot lock.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        kind = file_system_type(layout.root)
        if kind.startswith(_NETWORK_TYPES):
            raise CiError(
                f"The store {layout.root} is on {kind}, a network file system, where a lock may not hold "
                "between machines; put the store on a local file system, such as ext4, XFS or Btrfs."
            )
        require_flock(layout.locks)

    @contextlib.contextmanager
    def reading(self, sha256: str) -> Iterator[None]:
        """Hold the tree of ``sha256``, so that no process removes it."""
        with _held(Flock(self._layout.mutate_lock(sha256), shared=True), _REFS_SECONDS):
            yield

    @contextlib.contextmanager
    def downloading(self, sha256: str, patience_seconds: float) -> Iterator[None]:
        """Be the only one that fetches ``sha256``.

        Waits for another process as long as that makes progress.
        """
        lock = Flock(self._layout.download_lock(sha256), mode=0o600)
        with _held(lock, patience_seconds, self._layout.progress(sha256)):
            yield

    @contextlib.contextmanager
    def changing_refs(self) -> Iterator[None]:
        """Be the only one that changes refs, links and the generated files."""
        with _held(Flock(self._layout.refs_lock, mode=0o600), _REFS_SECONDS):
            yield

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Be the only one that collects.

        A second process would count what the first is removing.
        """
        with _held(Flock(self._layout.collect_lock, mode=0o600), _COLLECT_SECONDS):
            yield

    @contextlib.contextmanager
    def removing(self, sha256: str) -> Iterator[bool]:
        """Yield True while no other process reads or fetches ``sha256``.

        Yields False at once when one does.
        """
        mutate = Flock(self._layout.mutate_lock(sha256))
        download = Flock(self._layout.download_lock(sha256), mode=0o600)
        try:
            yield mutate.try_acquire() and download.try_acquire()
        finally:
            download.release()
            mutate.release()


@contextlib.contextmanager
def _held(lock: Flock, patience_seconds: float, progress: Optional[str] = None) -> Iterator[None]:
    lock.acquire(patience_seconds, (lambda: pulse(progress)) if progress else None)
    try:
        yield
    finally:
        lock.release()


def file_system_type(path: str) -> str:
    """Return the type of the file system of ``path``, or empty.

    /proc/self/mountinfo names it.
    """
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
