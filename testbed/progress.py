"""Progress messages: a line per step, and a heartbeat while a step takes long."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

HEARTBEAT_SECONDS = 5.0
LATEST_WIDTH = 90


class Progress:
    """Printer of lines with the seconds since the start; safe in several threads.

    While steps run and nothing was printed for HEARTBEAT_SECONDS, a line per step repeats its last message.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stdout
        self._clock = clock
        self._begin = clock()
        self._printed_at = self._begin
        self._active: dict[str, str] = {}
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def line(self, topic: str, message: str) -> None:
        """Print one line about ``topic`` now."""
        with self._lock:
            self._printed_at = self._clock()
            print(
                f"[{self._printed_at - self._begin:6.1f} s] {topic}: {message}", file=self._stream, flush=True
            )

    @contextlib.contextmanager
    def step(self, topic: str, doing: str) -> Iterator[Callable[[str], None]]:
        """Announce a step on ``topic`` for a ``with`` block.

        Gives a function that the step calls with each message; the heartbeat shows the last one.
        """
        self.line(topic, doing)
        with self._lock:
            self._active[topic] = doing
        self._ensure_heartbeat()
        try:
            yield lambda text: self._report(topic, text)
        finally:
            with self._lock:
                self._active.pop(topic, None)

    def beat(self) -> None:
        """Print a heartbeat if a step runs and nothing was printed for too long."""
        with self._lock:
            if self._active and self._clock() - self._printed_at >= HEARTBEAT_SECONDS:
                for topic, latest in list(self._active.items()):
                    self.line(topic, f"… {latest}")

    def close(self) -> None:
        """Stop the heartbeat."""
        self._closed.set()
        if self._thread:
            self._thread.join()

    def _report(self, topic: str, text: str) -> None:
        with self._lock:
            if topic in self._active and text.strip():
                self._active[topic] = text.strip()[:LATEST_WIDTH]

    def _ensure_heartbeat(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._heartbeat, name="progress", daemon=True)
                self._thread.start()

    def _heartbeat(self) -> None:
        while not self._closed.wait(1.0):
            self.beat()
