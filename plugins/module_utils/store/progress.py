"""The progress of a download or an unpacking, in a file for other programs."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Optional

from ..host.clock import timestamp
from ..host.durable import replace_file
from .artifact import public_url

_WRITE_EVERY_SECONDS = 0.5
# Enough for a person; a call may have thousands.
_NEXT_SHOWN = 5


class Progress:
    """Keeps the file ``path`` up to date.

    Several threads may call it, and most calls write nothing. ``waiting`` names what the same call fetches
    next; the file has the first names and their count. A disk without room for this file is no reason to
    stop, so its errors are ignored.
    """

    def __init__(self, path: str, name: str, url: str, waiting: Callable[[], Sequence[str]] = tuple) -> None:
        self._path = path
        self._waiting = waiting
        self._fixed = {
            "name": name,
            "url": public_url(url),
            "pid": os.getpid(),
            "started_at": timestamp(time.time()),
        }
        self._guard = threading.Lock()
        self._phase = ""
        self._next_write = 0.0
        self._began = 0.0
        self._first = 0

    def report(self, phase: str, done: int, total: Optional[int]) -> None:
        """Record that ``phase`` has processed ``done`` of ``total`` bytes.

        ``total`` is None while it is not known.
        """
        now = time.monotonic()
        if phase == self._phase and now < self._next_write:
            return
        with self._guard:
            if phase != self._phase:
                self._phase, self._began, self._first = phase, now, done
            self._next_write = now + _WRITE_EVERY_SECONDS
            elapsed = now - self._began
            speed = round((done - self._first) / elapsed) if elapsed > 0 else None
            waiting = self._waiting()
            self._write(
                {
                    "phase": phase,
                    "bytes_done": done,
                    "bytes_total": total,
                    "bytes_per_second": speed,
                    "next": list(waiting[:_NEXT_SHOWN]),
                    "next_count": len(waiting),
                }
            )

    def _write(self, varying: dict[str, object]) -> None:
        whole = {**self._fixed, **varying, "updated_at": timestamp(time.time())}
        try:
            replace_file(self._path, json.dumps(whole) + "\n", durable=False)
        except OSError:
            return

    def close(self) -> None:
        """Remove the file."""
        try:
            os.unlink(self._path)
        except OSError:
            return


def pulse(path: str) -> object:
    """Return a value that changes while the process behind ``path`` makes progress.

    ``path`` is a progress file.
    """
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None
