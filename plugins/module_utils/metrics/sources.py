"""Where a sample comes from: the only part of the metrics that touches the machine.

Everything is a field with a callable, so that a test can put another one in its place.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Callable, NamedTuple
from urllib.parse import urlsplit

from ..process import Run
from ..runner.worker import Process, processes

CONNECT_TIMEOUT_SECONDS = 5.0
_PORTS = {"http": 80, "https": 443}


class DiskSpace(NamedTuple):
    """Bytes of a file system: all, used, and free for those who are not root."""

    total: int
    used: int
    free: int


@dataclass(frozen=True)
class Sources:
    """How to read the machine. Each raises ``OSError`` for what cannot be read."""

    run: Run
    text: Callable[[str], str]
    names: Callable[[str], list[str]]
    hardware: Callable[[str], frozenset[str]]
    processes: Callable[[], list[Process]]
    disk_space: Callable[[str], DiskSpace]
    tree_bytes: Callable[[Sequence[str]], int]
    reachable: Callable[[str], bool]
    cpu_count: Callable[[], int] = lambda: os.cpu_count() or 1
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def machine(run: Run) -> Sources:
    """Return the sources that read this machine; ``run`` starts systemctl."""
    return Sources(
        run=run,
        text=read_text,
        names=os.listdir,
        hardware=hardware,
        processes=lambda: list(processes()),
        disk_space=disk_space,
        tree_bytes=tree_bytes,
        reachable=reachable,
    )


def read_text(path: str) -> str:
    """Return the content of ``path``."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def hardware(class_dir: str) -> frozenset[str]:
    """Return the names in ``class_dir`` (/sys/class/net, /sys/block) that a device stands behind."""
    return frozenset(name for name in os.listdir(class_dir) if os.path.exists(f"{class_dir}/{name}/device"))


def disk_space(path: str) -> DiskSpace:
    """Return the space of the file system that ``path`` is on, as df(1) counts it."""
    found = os.statvfs(path)
    return DiskSpace(
        total=found.f_blocks * found.f_frsize,
        used=(found.f_blocks - found.f_bfree) * found.f_frsize,
        free=found.f_bavail * found.f_frsize,
    )


def tree_bytes(roots: Sequence[str]) -> int:
    """Return what the trees at ``roots`` take on the disk, as ``du --dereference-args`` counts it.

    A root may be a symbolic link; links inside a tree are not followed, and a file with several names counts
    once. What disappears meanwhile is left out. Raises ``OSError`` when a root is missing.
    """
    seen: set[tuple[int, int]] = set()
    return sum(_tree_bytes(os.path.realpath(root), seen) for root in roots)


def _tree_bytes(root: str, seen: set[tuple[int, int]]) -> int:
    total = _new_bytes(os.lstat(root), seen)
    pending = [root]
    while pending:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    total += _new_bytes(entry.stat(follow_symlinks=False), seen)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
    return total


def _new_bytes(status: os.stat_result, seen: set[tuple[int, int]]) -> int:
    inode = (status.st_dev, status.st_ino)
    if inode in seen:
        return 0
    seen.add(inode)
    # st_blocks counts in 512 bytes whatever the file system's block is: stat(2).
    return status.st_blocks * 512


def reachable(url: str) -> bool:
    """Return whether the server of ``url`` accepts a connection; no request is sent."""
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or _PORTS[parts.scheme])
    try:
        socket.create_connection(address, timeout=CONNECT_TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True
