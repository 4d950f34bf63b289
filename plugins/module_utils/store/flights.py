"""What is on its way into a store, for people and programs that only look; any user may."""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple, Optional

from .layout import Layout


class Flight(NamedTuple):
    """A download or unpacking. ``alive`` is false when its process has ended without a word.

    ``bytes_total`` and ``bytes_per_second`` are None while unknown, and so is ``remaining_seconds``. ``next``
    are the first names of the ``next_count`` that the same call will fetch afterwards.
    """

    name: str
    phase: str
    bytes_done: int
    bytes_total: Optional[int]
    bytes_per_second: Optional[int]
    remaining_seconds: Optional[float]
    pid: int
    alive: bool
    next: tuple[str, ...] = ()
    next_count: int = 0


def in_flight(layout: Layout) -> list[Flight]:
    """Return what is being downloaded or unpacked at this moment."""
    directory = layout.area("progress")
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".json") and name[0] != ".")
    except OSError:
        return []
    found = (_read(os.path.join(directory, name)) for name in names)
    return [one for one in found if one]


def _read(path: str) -> Optional[Flight]:
    """Return the state in the file ``path``, None when it was over since it was listed."""
    try:
        with open(path, encoding="utf-8") as stream:
            return flight(json.load(stream))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def flight(noted: dict[str, Any]) -> Flight:
    """Return the state in a progress file. Raises KeyError, TypeError or ValueError for another content."""
    done, total, speed = int(noted["bytes_done"]), noted["bytes_total"], noted["bytes_per_second"]
    remaining = (total - done) / speed if total is not None and speed else None
    pid = int(noted["pid"])
    return Flight(
        name=str(noted["name"]),
        phase=str(noted["phase"]),
        bytes_done=done,
        bytes_total=total,
        bytes_per_second=speed,
        remaining_seconds=remaining,
        pid=pid,
        alive=_is_alive(pid),
        next=tuple(str(name) for name in noted["next"]),
        next_count=int(noted["next_count"]),
    )


def _is_alive(pid: int) -> bool:
    """Tell whether process ``pid`` exists; this also answers where /proc hides other users' processes."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
