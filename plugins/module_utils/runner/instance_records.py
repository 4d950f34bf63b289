"""Our records about an instance: small JSON files that only root can write."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ..host.file_state import Entry, look
from ..host.files import Change, apply
from .layout import Layout

REGISTRATION = "registration.json"
TREE = "tree.json"
APPLIED = "applied.json"
JIT = "jit.env"
LIFE = "life.json"
ORPHAN = "orphan.json"
# The host is about to register the instance.
ANNOUNCED = "announced.json"
# GitHub removes a runner that never came online, an ephemeral one after a day (docs.github.com, "Removing
# self-hosted runners").
_ANNOUNCED_SECONDS = 2 * 86400.0


def read_record(layout: Layout, name: str) -> dict[str, Any]:
    """Return the record ``name``; an empty one if it is missing or broken."""
    try:
        with open(layout.record(name), encoding="utf-8") as file:
            data = json.load(file)
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def write_record(layout: Layout, name: str, data: dict[str, Any]) -> None:
    """Write the record ``name`` atomically."""
    write(root_file(layout.record(name), json.dumps(data, sort_keys=True) + "\n"))


def converged_path(base_dir: str) -> str:
    """Return the file below ``base_dir`` whose time is that of the last converge."""
    return os.path.join(base_dir, ".converged")


def is_announced(layout: Layout) -> bool:
    """Return whether a registration began here lately and its end is not recorded."""
    try:
        return time.time() - os.stat(layout.record(ANNOUNCED)).st_mtime < _ANNOUNCED_SECONDS
    except OSError:
        return False


def forget_record(layout: Layout, name: str) -> None:
    """Remove the record ``name``.

    Do this before a change, so that an interruption leaves no wrong record.
    """
    apply(Change(layout.record(name), look(layout.record(name)), None))


def root_file(path: str, text: str, *, mode: int = 0o644) -> Entry:
    """Return a file that jobs cannot write; ``mode`` says whether they can read it."""
    return Entry(path, "file", mode, str(os.geteuid()), str(os.getegid()), content=text.encode())


def write(entry: Entry) -> None:
    """Write ``entry`` atomically."""
    apply(Change(entry.path, look(entry.path), entry))
