"""The download of one digest: resume, retries, next url.

The bytes are hashed while they arrive, and the digest is compared at the end.
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
from ..host.sizes import size
from .artifact import public_url
from .receipt import CHUNK_BYTES
from .transport import FetchError, Floor, Opened, Origin, network_error, open_url

# How many received pieces may wait to be hashed; more would only take memory.
_PIECES_AHEAD = 16


class Partial:
    """The bytes of a download in the file ``path``.

    It continues where an earlier process stopped. Its note ``path`` + ".json" names their source. The user of
    this class holds the digest's download lock.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._note_path = path + ".json"
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o600)
        self._hasher = hashlib.sha256()
        # A second thread hashes on another core while this one receives and writes: hashlib lets it run.
        self._hashing = ThreadPoolExecutor(1)
        self._pending: deque[Future[None]] = deque()
        self.size = 0
        # How often all bytes were dropped: nothing else alters those below ``size``.
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
        """Record the source of the bytes that follow; writes only when it changed."""
        if origin != self.origin:
            # Not synced: after a power cut the digest decides, and bytes without a note are fetched again.
            replace_file(self._note_path, json.dumps(origin._asdict()), mode=0o600, durable=False)
            self.origin = origin

    def restart(self) -> None:
        """Drop all bytes."""
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
        """Close the file and leave the bytes for a later process."""
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
# Tries without a new byte, or with too few, before the next url.
_FRUITLESS_TRIES = 3
# The limit for a server that breaks the connection again and again, independent of how much each try brings.
_TRIES_PER_URL = 40
_LONGEST_WAIT_SECONDS = 30.0
# Left free on the file system, so that logs and databases can still be written.
_SPARE_BYTES = 64 * 1024 * 1024


class Downloaded(NamedTuple):
    """The verified bytes at ``Partial.path``.

    ``received`` counts what this call transferred.
    """

    url: str
    size: int
    received: int


class Download:
    """The download into ``partial`` until its digest is ``sha256``.

    Calls ``report(done, total)`` for every piece, and ``make_room(bytes)`` where fewer are free.
    ``max_bytes`` limits a server that states no length.
    """

    def __init__(
        self,
        partial: Partial,
        sha256: str,
        *,
        timeout_seconds: float,
        max_bytes: int,
        report: Callable[[int, Optional[int]], None],
        make_room: Callable[[int], None] = lambda _bytes: None,
        pause_seconds: float = 0.5,
    ) -> None:
        self._partial = partial
        self._sha256 = sha256
        self._timeout_seconds = timeout_seconds
        self._max_bytes = max_bytes
        self._report = report
        self._make_room = make_room
        self._pause_seconds = pause_seconds
        self._received = 0
        self._content_type = ""

    def fetch(self, urls: Sequence[str]) -> Downloaded:
        """Try ``urls`` in order.

        Raises CiError with each url and its reason, as a phrase; StorageError when the disk refuses.
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
        raise CiError("; ".join(reasons))

    def _reason_against(self, url: str) -> Optional[str]:
        """Fetch from ``url``; return why that failed, None when it did not."""
        try:
            self._fetch_from(url)
        except FetchError as error:
            return str(error)
        return None

    def _fetch_from(self, url: str) -> None:
        """Get all bytes from ``url``.

        After a mismatch of a resumed download it starts once more at byte 0.
        """
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
        """Read ``url`` to its end in several tries.

        Returns whether bytes of an earlier try were kept.
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
        """Send one request and read to the end.

        Returns whether the bytes already here were kept.
        """
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
        if missing > free_space(self._partial.path) and missing > 0:
            self._make_room(missing + _SPARE_BYTES)
        free = free_space(self._partial.path) + _SPARE_BYTES
        if missing > free - _SPARE_BYTES and missing > 0:
            raise StorageError(
                f"No space for the download: {missing} bytes are needed, and {free} are free at "
                f"{os.path.dirname(self._partial.path)}; {size(_SPARE_BYTES)} of them are held back for logs "
                "and databases, and the store has nothing that the inventory does not list. Free space "
                "there, or put the store elsewhere (coldvox_store_dir)."
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


def free_space(path: str) -> int:
    """Return how many bytes may still be written next to ``path``.

    Below 0 means that the rest is reserved for other programs.
    """
    status = os.statvfs(os.path.dirname(path))
    return status.f_bavail * status.f_frsize - _SPARE_BYTES
