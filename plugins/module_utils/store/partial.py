"""A download in flight: its bytes, their running digest, and what the server said they belong to."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Optional

from .durable import read_text, remove_file, replace_file, write_all
from .tree import CHUNK_BYTES

# How many received pieces may wait for their turn to be hashed; more would only take memory.
_PIECES_AHEAD = 16


class Origin(NamedTuple):
    """Where partial bytes came from, so that a later request can ask for the rest of exactly the same.

    ``validator`` is a strong ETag or a Last-Modified date, fit for If-Range (RFC 9110, 13.1.5).
    """

    url: str = ""
    validator: str = ""
    total: Optional[int] = None


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
