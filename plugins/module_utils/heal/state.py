"""``heal.json``: what the last pass saw, did and remembers. It lives until the next boot."""

from __future__ import annotations

import json
import os
import stat
from typing import Any, NamedTuple, Optional

from ..store.clock import timestamp
from ..store.durable import replace_file
from .rules import GOOD, HOPELESS, Done, History, Known

FILE = "heal.json"


class State(NamedTuple):
    """``checked_at`` is UTC ISO 8601; ``needs_person`` are sentences about what no restart mends."""

    checked_at: str
    history: History
    needs_person: tuple[str, ...]


def state_path(run_dir: str) -> str:
    """Return the file's path."""
    return os.path.join(run_dir, FILE)


def read(run_dir: str) -> Optional[State]:
    """Return what the last pass left; None when there was none since the boot, or it left nothing of use."""
    try:
        data = json.loads(_text(state_path(run_dir)))
        history = History(
            boot_id=str(data["boot_id"]),
            at=float(data["at"]),
            slept=float(data["slept"]),
            grace_until=float(data["grace_until"]),
            instances={str(name): Known(**known) for name, known in data["instances"].items()},
            done=tuple(Done(**done) for done in data["done"]),
        )
        return State(str(data["checked_at"]), history, needs_person(history))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _text(path: str) -> str:
    """Return the text of ``path``; raises OSError or ValueError for what neither root nor the caller wrote.

    Root decides by what it finds there, so it counts who wrote it and not only where it lies.
    """
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(opened, encoding="utf-8") as stream:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in (0, os.geteuid()):
            raise ValueError("it is not what the last pass left")
        return stream.read()


def write(run_dir: str, history: History, checked_at: float) -> None:
    """Keep ``history``; ``checked_at`` is in seconds since the epoch."""
    replace_file(state_path(run_dir), json.dumps(shown(history, checked_at), indent=1) + "\n", durable=False)


def shown(history: History, checked_at: float) -> dict[str, Any]:
    """Return ``history`` as JSON has it."""
    return {
        "checked_at": timestamp(checked_at),
        **history._asdict(),
        "instances": {name: known._asdict() for name, known in history.instances.items()},
        "done": [done._asdict() for done in history.done],
        "needs_person": list(needs_person(history)),
    }


def needs_person(history: History) -> tuple[str, ...]:
    """Return a sentence for each instance that healing cannot help, or has not helped by two attempts."""
    return tuple(
        f"{name}: {known.detail}"
        for name, known in sorted(history.instances.items())
        if known.condition in HOPELESS or (known.condition not in GOOD and known.attempts > 1)
    )
