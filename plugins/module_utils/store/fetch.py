"""Fetching one digest and publishing its tree: the order of steps that no crash can turn into half a tree."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from typing import NamedTuple, Optional

from ..errors import CiError
from ..host.durable import StorageError, storage_error, sync_path
from .ahead import Ahead
from .archive import unpack
from .artifact import Artifact
from .download import Download, Downloaded, Partial
from .layout import Layout
from .members import Limits
from .progress import Progress
from .receipt import Receipt
from .records import Records, check_expected
from .staging import Staging
from .trash import discard_tree

# Beside the unpacked bytes, for directories, block ends and the file system's own books.
_UNPACK_MARGIN = 1.1


class Fetched(NamedTuple):
    """A published tree: its receipt, the url that served it, and the bytes that were transferred for it."""

    receipt: Receipt
    url: str
    received: int


class Fetcher:
    """Fetches artifacts into the store ``layout``; the caller holds the digest's download lock.

    ``waiting`` names what the caller will fetch afterwards, for the progress file.
    ``shared_partials`` is false where locks do not exclude: then every process downloads for itself.
    """

    def __init__(
        self,
        layout: Layout,
        records: Records,
        *,
        boot_id: str,
        limits: Limits,
        timeout_seconds: float,
        workers: int,
        shared_partials: bool,
        pause_seconds: float = 0.5,
        waiting: Callable[[], Sequence[str]],
    ) -> None:
        self._layout = layout
        self._records = records
        self._boot_id = boot_id
        self._limits = limits
        self._timeout_seconds = timeout_seconds
        self._workers = workers
        self._shared_partials = shared_partials
        self._pause_seconds = pause_seconds
        self._waiting = waiting

    def fetch(self, artifact: Artifact) -> Fetched:
        """Download, verify, unpack and publish ``artifact``. Raises CiError with one sentence, nothing
        published.
        """
        sha256 = artifact.sha256
        progress = Progress(self._layout.progress(sha256), artifact.name, artifact.urls[0], self._waiting)
        path = (
            self._layout.partial(sha256) if self._shared_partials else self._layout.fresh("partial", sha256)
        )
        try:
            partial = Partial(path)
        except OSError as error:
            raise self._failed(artifact, storage_error("opening the download", error)) from error
        ahead = Ahead(partial, self._layout.fresh("staging", sha256), self._limits)
        keep_partial = False
        try:
            downloaded = self._download(artifact, partial, progress, ahead)
            ahead.end()
            receipt = self._unpack_and_publish(artifact, partial, downloaded, progress, ahead)
            return Fetched(receipt, downloaded.url, downloaded.received)
        except StorageError as error:
            raise self._failed(artifact, error) from error
        except OSError as error:
            raise self._failed(artifact, storage_error("unpacking", error)) from error
        except CiError:
            # What a broken connection left is worth keeping for the next run; an empty rest is not.
            keep_partial = self._shared_partials and partial.size > 0 and partial.sha256 != sha256
            raise
        finally:
            ahead.close()
            partial.close() if keep_partial else partial.discard()
            progress.close()

    def _failed(self, artifact: Artifact, error: CiError) -> CiError:
        return CiError(f"artifact {artifact.name}: {error}", artifact=artifact.name)

    def _download(self, artifact: Artifact, partial: Partial, progress: Progress, ahead: Ahead) -> Downloaded:
        def report(done: int, total: Optional[int]) -> None:
            if artifact.shape.format == "zip":
                ahead.arrived(total)
            progress.report("download", done, total)

        download = Download(
            partial,
            artifact.sha256,
            timeout_seconds=self._timeout_seconds,
            max_bytes=self._limits.max_unpacked_bytes,
            report=report,
            pause_seconds=self._pause_seconds,
        )
        try:
            return download.fetch(artifact.urls)
        except StorageError:
            raise
        except CiError as error:
            raise CiError(
                f"artifact {artifact.name} cannot be fetched, {error}; correct the url or the sha256, or "
                "make the server reachable, and run again.",
                artifact=artifact.name,
            ) from error

    def _unpack_and_publish(
        self, artifact: Artifact, partial: Partial, downloaded: Downloaded, progress: Progress, ahead: Ahead
    ) -> Receipt:
        staged = self._layout.fresh("staging", artifact.sha256)
        try:
            tree = self._stage(artifact, partial, staged, progress, ahead)
            missing = tree.make_executable(artifact.shape.executable)
            if missing:
                raise CiError(
                    f"artifact {artifact.name}: executable names {', '.join(missing)}, which is no file in "
                    "what was unpacked; correct it or strip_components.",
                    artifact=artifact.name,
                )
            receipt = Receipt(
                artifact.sha256, downloaded.size, artifact.shape, tree.entries(), self._boot_id, durable=False
            )
            check_expected(artifact, receipt)
            progress.report("sync", receipt.unpacked_bytes, receipt.unpacked_bytes)
            receipt = receipt._replace(durable=tree.sync())
            self._records.write_receipt(receipt)
            return self._publish(staged, receipt)
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def _stage(
        self, artifact: Artifact, partial: Partial, staged: str, progress: Progress, ahead: Ahead
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
                self._require_space(artifact, int(total * _UNPACK_MARGIN), ahead)
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
                ahead.take,
            )
        except StorageError:
            raise
        except CiError as error:
            raise CiError(
                f"artifact {artifact.name}: the {shape.format} archive is refused: {error}; take a sound "
                "archive, or correct format and strip_components.",
                artifact=artifact.name,
            ) from error

    def _require_space(self, artifact: Artifact, needed: int, ahead: Ahead) -> None:
        free = self._free_bytes()
        if needed > free:
            ahead.close()  # what it has unpacked already is part of what is needed
            free = self._free_bytes()
        if needed > free:
            raise StorageError(
                f"no space to unpack {artifact.name}: {needed} bytes are needed and {free} are free at "
                f"{self._layout.root}; free space there, or put the store elsewhere."
            )

    def _free_bytes(self) -> int:
        status = os.statvfs(self._layout.root)
        return status.f_bavail * status.f_frsize

    def _publish(self, staged: str, receipt: Receipt) -> Receipt:
        """Move the finished tree to its place; of several publishers without locks the first one wins."""
        tree = self._layout.tree(receipt.sha256)
        existing = self._records.condition(receipt.sha256, full=False)
        if existing.damage or (existing.receipt and existing.receipt.shape != receipt.shape):
            discard_tree(self._layout, self._records, receipt.sha256)
            self._records.write_receipt(receipt)
        try:
            os.rename(staged, tree)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if self._records.condition(receipt.sha256, full=False).receipt is None:
                raise
        sync_path(self._layout.trees)
        return receipt
