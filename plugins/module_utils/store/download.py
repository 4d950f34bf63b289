"""Getting the bytes of one digest: resume, retries, next url; hashed on the way and compared at the end.

A download in flight: its bytes, their running digest, and what the server said they belong to.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Optional

from ..errors import CiError
from ..host.durable import StorageError, read_text, remove_file, replace_file, storage_error, write_all
from .artifact import public_url
from .receipt import CHUNK_BYTES
from .transport import FetchError, Floor, Opened, Origin, network_error, open_url

# How many received pieces may wait for their turn to be hashed; more would only take memory.
_PIECES_AHEAD = 16


class Partial:
    """The file ``path`` (and its note ``path`` + ".json"), opened for going on where an earlier process
    stopped.

    Whoever uses it holds the artifact's download lock, or has a path of their own.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._note_path = path + ".json"
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o600)
        self._hasher = hashlib.sha256()
        # Hashing goes on beside receiving and writing, on another core: hashlib lets other threads run.
        self._hashing = ThreadPoolExecutor(1)
        self._pending: deque[Future[None]] = deque()
        self.size = 0
        # How often all bytes were forgotten: those below ``size`` are never altered otherwise.
        self.restarts = 0
        self.origin = self._read_origin()
        if self.origin.url:
            self._rehash()
        else:
            self.restart()

    def _read_origin(self) -> Origin:
        try:
            note = json.loads(read_text(self._note_path) or "{}")
            total = note.get("total")
            return Origin(str(note.get("url", "")), str(note.get("validator", "")), total and int(total))
        except (ValueError, TypeError, AttributeError):
            return Origin()

    def _rehash(self) -> None:
        buffer = memoryview(bytearray(CHUNK_BYTES))
        while True:
            count = os.preadv(self._fd, [buffer], self.size)
            if not count:
                break
            self._hasher.update(buffer[:count])
            self.size += count
        os.lseek(self._fd, self.size, os.SEEK_SET)

    @property
    def sha256(self) -> str:
        self._hash_down_to(0)
        return self._hasher.hexdigest()

    def describe(self, origin: Origin) -> None:
        """Note where the bytes that follow come from; written only when it changed."""
        if origin != self.origin:
            # Not synced: after a power cut the digest decides, and bytes without a note are fetched again.
            replace_file(self._note_path, json.dumps(origin._asdict()), mode=0o600, durable=False)
            self.origin = origin

    def restart(self) -> None:
        """Forget all bytes."""
        self._hash_down_to(0)
        self.restarts += 1
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._hasher = hashlib.sha256()
        self.size = 0

    def append(self, data: bytes) -> None:
        self._hash_down_to(_PIECES_AHEAD)
        write_all(self._fd, memoryview(data))
        self._pending.append(self._hashing.submit(self._hasher.update, data))
        self.size += len(data)

    def _hash_down_to(self, count: int) -> None:
        """Wait until at most ``count`` pieces are not hashed yet."""
        while len(self._pending) > count:
            self._pending.popleft().result()

    def close(self) -> None:
        """Leave the bytes for a later process."""
        self._hash_down_to(0)
        self._hashing.shutdown()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def discard(self) -> None:
        """Remove the bytes and their note."""
        self.close()
        remove_file(self.path)
        remove_file(self._note_path)


_READ_BYTES = 256 * 1024
# Tries without a new byte, or with mere drops, before the next url gets its turn.
_FRUITLESS_TRIES = 3
# However much each try brings, a server that breaks this often is not worth waiting for.
_TRIES_PER_URL = 40
_LONGEST_WAIT_SECONDS = 30.0
# Left free on the file system beside what is downloaded, so that logs and databases live on.
_SPARE_BYTES = 64 * 1024 * 1024


class Downloaded(NamedTuple):
    """The verified bytes: they are at ``Partial.path``; ``received`` counts what this call transferred."""

    url: str
    size: int
    received: int


class Download:
    """Downloads into ``partial`` until its digest is ``sha256``.

    ``report(done, total)`` is called for every piece. ``max_bytes`` bounds what a server without a length
    can send.
    """

    def __init__(
        self,
        partial: Partial,
        sha256: str,
        *,
        timeout_seconds: float,
        max_bytes: int,
        report: Callable[[int, Optional[int]], None],
        pause_seconds: float = 0.5,
    ) -> None:
        self._partial = partial
        self._sha256 = sha256
        self._timeout_seconds = timeout_seconds
        self._max_bytes = max_bytes
        self._report = report
        self._pause_seconds = pause_seconds
        self._received = 0
        self._content_type = ""

    def fetch(self, urls: Sequence[str]) -> Downloaded:
        """Try ``urls`` in order. Raises CiError with each url and its reason; StorageError when the disk
        refuses.
        """
        if self._partial.size and self._partial.sha256 == self._sha256:
            # An earlier process was stopped between the last byte and the rename.
            return Downloaded(self._partial.origin.url, self._partial.size, 0)
        reasons = []
        for url in urls:
            reason = self._reason_against(url)
            if reason is None:
                return Downloaded(url, self._partial.size, self._received)
            reasons.append(f"{public_url(url)}: {reason}")
        raise CiError("; ".join(reasons), urls=[public_url(url) for url in urls])

    def _reason_against(self, url: str) -> Optional[str]:
        """Fetch from ``url`` and return why that failed, None when all is here and right."""
        try:
            self._fetch_from(url)
        except FetchError as error:
            return str(error)
        return None

    def _fetch_from(self, url: str) -> None:
        """Get all bytes from ``url``; a mismatch after a resume is tried once more from the first byte."""
        resumed = self._transfer(url)
        if self._partial.sha256 != self._sha256 and resumed:
            self._partial.restart()
            self._transfer(url)
        if self._partial.sha256 != self._sha256:
            got, size = self._partial.sha256, self._partial.size
            self._partial.restart()
            page = ", a web page instead of the file" if self._content_type == "text/html" else ""
            raise FetchError(
                f"wrong checksum, expected sha256 {self._sha256} and got {got} ({size} bytes{page})",
                retry=False,
            )

    def _transfer(self, url: str) -> bool:
        """Read ``url`` to its end over as many tries as make sense; return whether bytes of another try
        were kept.
        """
        resumed = self._partial.size > 0
        fruitless = 0
        for _number in range(_TRIES_PER_URL):
            before = self._received
            try:
                kept = self._try(url)
                return resumed and kept
            except FetchError as error:
                if not error.retry:
                    raise
                fruitless = 0 if self._received > before and not error.slow else fruitless + 1
                if fruitless >= _FRUITLESS_TRIES:
                    raise
                resumed = resumed or self._partial.size > 0
                self._pause(fruitless, error.wait_seconds)
        raise FetchError(f"the connection broke {_TRIES_PER_URL} times", retry=False)

    def _pause(self, fruitless: int, asked_seconds: float) -> None:
        # Jitter, so that a pool of hosts that failed together does not come back together.
        own = self._pause_seconds * 2**fruitless * random.uniform(0.5, 1.0)  # noqa: S311  # not for secrecy
        time.sleep(min(_LONGEST_WAIT_SECONDS, max(asked_seconds, own)))

    def _try(self, url: str) -> bool:
        """Ask once and read to the end; return whether the bytes that were here before were of use."""
        partial = self._partial
        try:
            opened = open_url(url, partial.size, partial.origin, self._timeout_seconds)
        except FetchError as error:
            if error.changed:
                partial.restart()
            raise
        try:
            if opened.offset == 0:
                partial.restart()
            kept = partial.size > 0
            self._begin(opened)
            self._read(opened)
        finally:
            opened.stream.close()
        if opened.total is not None and partial.size != opened.total:
            raise FetchError(f"the connection ended after {partial.size} of {opened.total} bytes", retry=True)
        return kept

    def _begin(self, opened: Opened) -> None:
        self._content_type = opened.content_type
        total = opened.total
        if total is not None and total > self._max_bytes:
            raise FetchError(f"it has {total} bytes, more than the allowed {self._max_bytes}", retry=False)
        self._note(opened.origin)
        missing = (total or 0) - self._partial.size
        free = room(self._partial.path)
        if missing > free and missing > 0:
            raise StorageError(
                f"no space for the download: {missing} bytes are needed and {max(0, free)} are free at "
                f"{os.path.dirname(self._partial.path)}; free space there, or put the store elsewhere."
            )

    def _note(self, origin: Origin) -> None:
        try:
            self._partial.describe(origin)
        except OSError as error:
            raise storage_error("writing the download", error) from error

    def _read(self, opened: Opened) -> None:
        partial = self._partial
        floor = Floor(self._timeout_seconds, time.monotonic())
        while True:
            try:
                chunk = opened.stream.read1(_READ_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise network_error(error, self._timeout_seconds) from error
            if not chunk:
                return
            self._received += len(chunk)
            try:
                partial.append(chunk)
            except OSError as error:
                raise storage_error("writing the download", error) from error
            if partial.size > self._max_bytes:
                raise FetchError(f"it sends more than the allowed {self._max_bytes} bytes", retry=False)
            self._report(partial.size, opened.total)
            floor.count(len(chunk), time.monotonic())


def room(path: str) -> int:
    """Return how many bytes may still be written beside ``path``; below 0 when others need what is left."""
    return _free_bytes(path) - _SPARE_BYTES


def _free_bytes(path: str) -> int:
    status = os.statvfs(os.path.dirname(path))
    return status.f_bavail * status.f_frsize
