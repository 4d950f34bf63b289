"""The fetch of one digest.

No crash in this order of steps can publish half a tree.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from typing import NamedTuple, Optional

from ..errors import CiError
from ..host.durable import StorageError, storage_error, sync_path
from .archive import unpack
from .artifact import Artifact
from .download import Download, Downloaded, Partial
from .index import Index, check_expected
from .layout import Layout
from .members import ArchiveError, Limits
from .progress import Progress
from .receipt import Receipt
from .staging import Staging
from .stream_unzip import StreamUnzip
from .trash import discard_tree

# In addition to the unpacked bytes: directories, block ends and the metadata of the file system.
_UNPACK_MARGIN = 1.1


class Fetched(NamedTuple):
    """A published tree.

    It has its receipt, the url that served it, and the bytes that were transferred for it.
    """

    receipt: Receipt
    url: str
    received: int


class Fetcher:
    """Fetches artifacts into the store ``layout``.

    The caller holds the digest's download lock. ``make_room`` tries to have a number of bytes free.
    ``waiting`` names what the caller fetches next, for the progress file.
    """

    def __init__(
        self,
        layout: Layout,
        index: Index,
        *,
        limits: Limits,
        timeout_seconds: float,
        workers: int,
        pause_seconds: float = 0.5,
        make_room: Callable[[int], None],
        waiting: Callable[[], Sequence[str]],
    ) -> None:
        self._layout = layout
        self._index = index
        self._limits = limits
        self._timeout_seconds = timeout_seconds
        self._workers = workers
        self._pause_seconds = pause_seconds
        self._make_room = make_room
        self._waiting = waiting

    def fetch(self, artifact: Artifact) -> Fetched:
        """Download, verify, unpack and publish ``artifact``.

        Raises CiError with nothing published.
        """
        sha256 = artifact.sha256
        progress = Progress(self._layout.progress(sha256), artifact.name, artifact.urls[0], self._waiting)
        try:
            partial = Partial(self._layout.partial(sha256))
        except OSError as error:
            raise _failed(artifact, storage_error("opening the download", error)) from error
        early = StreamUnzip(partial, self._layout.fresh("staging", sha256), self._limits)
        keep_partial = False
        try:
            downloaded = self._download(artifact, partial, progress, early)
            early.end()
            receipt = self._unpack_and_publish(artifact, partial, downloaded, progress, early)
            return Fetched(receipt, downloaded.url, downloaded.received)
        except StorageError as error:
            raise _failed(artifact, error) from error
        except OSError as error:
            raise _failed(artifact, storage_error("unpacking", error)) from error
        except CiError:
            # The next run continues a broken download; an empty one has no use.
            keep_partial = partial.size > 0 and partial.sha256 != sha256
            raise
        finally:
            early.close()
            partial.close() if keep_partial else partial.discard()
            progress.close()

    def _download(
        self, artifact: Artifact, partial: Partial, progress: Progress, early: StreamUnzip
    ) -> Downloaded:
        def report(done: int, total: Optional[int]) -> None:
            if artifact.shape.format == "zip":
                early.arrived(total)
            progress.report("download", done, total)

        download = Download(
            partial,
            artifact.sha256,
            timeout_seconds=self._timeout_seconds,
            max_bytes=self._limits.max_unpacked_bytes,
            report=report,
            make_room=self._make_room,
            pause_seconds=self._pause_seconds,
        )
        try:
            return download.fetch(artifact.urls)
        except StorageError:
            raise
        except CiError as error:
            raise CiError(
                f"Artifact {artifact.name} cannot be fetched, {error}; correct the url or the sha256, or "
                "make the server reachable, and run again.",
                artifact=artifact.name,
            ) from error

    def _unpack_and_publish(
        self,
        artifact: Artifact,
        partial: Partial,
        downloaded: Downloaded,
        progress: Progress,
        early: StreamUnzip,
    ) -> Receipt:
        staged = self._layout.fresh("staging", artifact.sha256)
        try:
            tree = self._stage(artifact, partial, staged, progress, early)
            missing = tree.make_executable(artifact.shape.executable)
            if missing:
                raise CiError(
                    f"Artifact {artifact.name}: executable names {', '.join(missing)}, which is no file in "
                    "what was unpacked; correct it or strip_components.",
                    artifact=artifact.name,
                )
            receipt = Receipt(artifact.sha256, downloaded.size, artifact.shape, tree.entries())
            check_expected(artifact, receipt)
            progress.report("sync", receipt.unpacked_bytes, receipt.unpacked_bytes)
            tree.sync()
            return self._publish(staged, receipt)
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def _stage(
        self, artifact: Artifact, partial: Partial, staged: str, progress: Progress, early: StreamUnzip
    ) -> Staging:
        shape = artifact.shape
        if shape.format == "file":
            partial.close()
            tree = Staging(staged)
            name = artifact.file_name
            tree.adopt(name, partial.path, artifact.sha256, executable=name in shape.executable)
            return tree

        def report(done: int, total: Optional[int]) -> None:
            if done == 0 and total is not None:
                self._require_space(artifact, int(total * _UNPACK_MARGIN), early)
            progress.report("unpack", done, total)

        try:
            return unpack(
                partial.path,
                shape.format,
                lambda expected: Staging(staged, expected),
                shape.strip_components,
                self._limits,
                self._workers,
                report,
                early.take,
            )
        except ArchiveError as error:
            raise CiError(
                f"Artifact {artifact.name}: the {shape.format} archive is refused: {error}; take a sound "
                "archive, or correct format and strip_components.",
                artifact=artifact.name,
            ) from error

    def _require_space(self, artifact: Artifact, needed: int, early: StreamUnzip) -> None:
        free = self._free_bytes()
        if needed > free:
            early.close()  # its files are part of what is needed
            free = self._free_bytes()
        if needed > free:
            self._make_room(needed)
            free = self._free_bytes()
        if needed > free:
            raise StorageError(
                f"No space to unpack {artifact.name}: {needed} bytes are needed and {free} are free at "
                f"{self._layout.root}, and the store has nothing that the inventory does not list; free "
                "space there, or put the store elsewhere (coldvox_store_dir)."
            )

    def _free_bytes(self) -> int:
        status = os.statvfs(self._layout.root)
        return status.f_bavail * status.f_frsize

    def _publish(self, staged: str, receipt: Receipt) -> Receipt:
        """Write the receipt and move the finished tree to its place."""
        tree = self._layout.tree(receipt.sha256)
        if os.path.lexists(tree):  # of another shape
            discard_tree(self._layout, self._index, receipt.sha256)
        self._index.write_receipt(receipt)
        os.rename(staged, tree)
        sync_path(self._layout.trees)
        return receipt


def _failed(artifact: Artifact, error: CiError) -> CiError:
    return CiError(f"Artifact {artifact.name}: {error}", artifact=artifact.name)
