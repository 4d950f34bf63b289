"""Processes that outlive their job are found by the variable they inherited, and ended."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def kill_leftovers(tracking_id: str) -> list[str]:
    """Kill every process of this user that carries ``tracking_id``; return pid and name of each."""
    mark = f"RUNNER_TRACKING_ID={tracking_id}".encode()
    killed = []
    for directory in Path("/proc").iterdir():
        if not directory.name.isdecimal() or int(directory.name) == os.getpid():
            continue
        try:
            if mark in (directory / "environ").read_bytes().split(b"\0"):
                name = (directory / "comm").read_text(encoding="utf-8", errors="replace").strip()
                os.kill(int(directory.name), signal.SIGKILL)
                killed.append(f"pid ({directory.name}) ({name})")
        except OSError:
            # Gone meanwhile, or another user's: neither is ours to end.
            continue
    return killed
