"""Removal of processes that outlive their job."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def kill_leftovers(tracking_id: str) -> list[str]:
    """Kill every process of this user that inherited ``tracking_id``.

    Returns pid and name of each.
    """
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
            # The process has ended, or belongs to another user.
            continue
    return killed
