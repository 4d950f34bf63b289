"""The audit of the mirror's requests: in memory for tests, in a file for people."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KEPT = 20_000
SETTLE_SECONDS = 0.3


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclasses.dataclass
class Entry:
    """One request.

    ``bytes`` counts the body as sent. ``complete`` is false when the body was cut short.
    """

    method: str
    path: str
    status: int = 0
    range: str | None = None
    bytes: int = 0
    complete: bool = True
    fault: str | None = None
    seconds: float = 0.0
    time: str = dataclasses.field(default_factory=_now)


class Audit:
    """The last requests, oldest first.

    They are also appended to ``file``, one JSON object per line.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._entries: collections.deque[Entry] = collections.deque(maxlen=KEPT)
        self._unfinished = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def request(self, method: str, path: str, byte_range: str | None) -> Iterator[Entry]:
        """Record a request; the ``with`` block answers it and fills in the entry."""
        entry = Entry(method, path, range=byte_range)
        begin = time.monotonic()
        with self._changed:
            self._entries.append(entry)
            self._unfinished += 1
        try:
            yield entry
        finally:
            entry.seconds = round(time.monotonic() - begin, 6)
            with self._changed:
                self._unfinished -= 1
                self._changed.notify_all()
                self._write(entry)

    def entries(self) -> list[dict[str, Any]]:
        """Return the entries as plain data.

        A client gets its answer a moment before its entry is complete, so this waits up to SETTLE_SECONDS.
        """
        with self._changed:
            self._settle()
            return [dataclasses.asdict(entry) for entry in self._entries]

    def finish(self) -> None:
        """Wait up to SETTLE_SECONDS until unfinished requests are in the file."""
        with self._changed:
            self._settle()

    def _settle(self) -> None:
        self._changed.wait_for(lambda: self._unfinished == 0, SETTLE_SECONDS)

    def clear(self) -> None:
        """Remove the entries from memory; the file keeps them."""
        with self._changed:
            self._entries.clear()

    def _write(self, entry: Entry) -> None:
        if self._file:
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(dataclasses.asdict(entry)) + "\n")
