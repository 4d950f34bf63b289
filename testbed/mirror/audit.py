"""What the mirror was asked for: kept in memory for tests, and in a file for people."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import json
import threading
from pathlib import Path
from typing import Any

KEPT = 20_000


@dataclasses.dataclass
class Entry:
    """One request. ``bytes`` counts the body as sent; ``complete`` is false when it ended before its end."""

    method: str
    path: str
    status: int = 0
    range: str | None = None
    bytes: int = 0
    complete: bool = True
    fault: str | None = None
    seconds: float = 0.0
    time: str = dataclasses.field(
        default_factory=lambda: datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    )


class Audit:
    """The last requests, oldest first; also written to ``file``, one JSON object per line."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._entries: collections.deque[Entry] = collections.deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def add(self, entry: Entry) -> None:
        """Note a request that has been answered."""
        with self._lock:
            self._entries.append(entry)
            if self._file:
                with self._file.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(dataclasses.asdict(entry)) + "\n")

    def entries(self) -> list[dict[str, Any]]:
        """Return plain data, as the audit URL gives it."""
        with self._lock:
            return [dataclasses.asdict(entry) for entry in self._entries]

    def clear(self) -> None:
        """Forget what was asked so far; the file keeps it."""
        with self._lock:
            self._entries.clear()
