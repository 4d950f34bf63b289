"""Log files in ``_diag``, and messages on the terminal."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Optional, TextIO


class Diagnostics:
    """The log file ``_diag/<kind>_<time>-utc.log``.

    When the directory is not writable, there is no log and the program continues.
    """

    def __init__(self, root: Path, kind: str) -> None:
        self._log: Optional[TextIO] = None
        stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
        try:
            (root / "_diag").mkdir(exist_ok=True)
            path = root / "_diag" / f"{kind}_{stamp}-utc.log"
            self._log = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            print(f"No log can be written: {error}. Make {root / '_diag'} writable.", file=sys.stderr)

    def trace(self, message: str) -> None:
        if self._log is not None:
            self._log.write(f"[{_now()} INFO] {message}\n")

    def say(self, message: str) -> None:
        """Print a line and log it."""
        print(message, flush=True)
        self.trace(message)

    def say_with_time(self, message: str) -> None:
        self.say(f"{_now()}: {message}")

    def complain(self, message: str) -> None:
        """Print a line on stderr and log it."""
        print(message, file=sys.stderr, flush=True)
        self.trace(message)


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
