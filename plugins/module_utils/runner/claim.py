"""Who works on an instance: a converge, a person or the self-healing, one at a time."""

from __future__ import annotations

import time

from ..errors import CiError
from ..flock import Flock, describe_holder
from .layout import Layout

# Healing has an instance for a moment, and is waited for; whoever else has one has it for long.
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.1


def claim_lock(layout: Layout, name: str, doing: str) -> Flock:
    """Return the lock of the instance ``name``, not taken yet; ``doing`` tells others what for
    (``draining``).
    """
    return Flock(layout.record("lock"), mode=0o600, purpose=f"{doing} the runner {name}")


def claim(layout: Layout, name: str, doing: str) -> Flock:
    """Take the lock of the instance ``name``; raises CiError when somebody else has it."""
    lock = claim_lock(layout, name, doing)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    # Not Flock.acquire, whose thread would be left behind: what freezes a listener must have none.
    while not lock.try_acquire():
        if time.monotonic() >= deadline:
            raise CiError(
                f"Runner '{name}' was left as it is, because {describe_holder(lock.path)} works on it; run "
                "again when that is done."
            )
        time.sleep(_PAUSE_SECONDS)
    return lock
