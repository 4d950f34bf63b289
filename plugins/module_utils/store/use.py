"""Using what the store has: a tree is checked, marked as used, and held so that nobody takes it away."""

from __future__ import annotations

import os
from typing import NamedTuple, Optional

from ..errors import CiError
from ..host.clock import boot_id
from ..host.flock import Flock, LockUnsupportedError
from .layout import Layout
from .receipt import single_file
from .records import Records

# Only repair and removal hold a tree exclusively; a repair downloads, so this is generous.
PATIENCE_SECONDS = 600.0
_MOST_CHANGES = 3


class DamageError(CiError):
    """What is published is not what was published: nobody should use it."""


class Use(NamedTuple):
    """A tree in use. ``path`` is what to give to a program: the tree, or its single file.

    ``lock`` is held; it is None where the file system has no locks, and then nothing keeps the tree.
    """

    name: str
    sha256: str
    path: str
    lock: Optional[Flock]


def take(layout: Layout, name: str, patience_seconds: float = PATIENCE_SECONDS) -> Use:
    """Hold the tree that ``name`` means, check it by its receipt, note its use, and return it.

    Needs no right but to read the store. Raises DamageError for a damaged tree, CiError for an unknown name.
    """
    records = Records(layout, boot_id())
    for _attempt in range(_MOST_CHANGES):
        ref = records.ref(name) if "/" not in name else None
        if ref is None:
            raise _unknown(layout, records, name)
        lock = _hold(layout, ref.sha256, patience_seconds)
        # What the name means may have changed before we held what it meant.
        again = records.ref(name)
        if again is None or again.sha256 != ref.sha256:
            _release(lock)
            continue
        condition = records.condition(ref.sha256, full=False)
        if condition.receipt is None:
            _release(lock)
            raise DamageError(
                f"{name} in {layout.root} is damaged ({condition.damage or 'its tree is missing'}), "
                "so it is not used; converge the host again, which fetches it anew."
            )
        records.touch(ref.sha256)
        only = single_file(condition.receipt)
        tree = layout.tree(ref.sha256)
        return Use(name, ref.sha256, os.path.join(tree, only) if only else tree, lock)
    raise CiError(f"{name} in the store {layout.root} keeps changing; run again when that is over.")


def _hold(layout: Layout, sha256: str, patience_seconds: float) -> Optional[Flock]:
    lock = Flock(layout.mutate_lock(sha256), shared=True)
    try:
        lock.acquire(patience_seconds)
    except LockUnsupportedError:
        return None
    return lock


def _release(lock: Optional[Flock]) -> None:
    if lock:
        lock.release()


def _unknown(layout: Layout, records: Records, name: str) -> CiError:
    if not layout.exists():
        return CiError(
            f"there is no store at {layout.root}; converge the host, or name another one with --store."
        )
    there = ", ".join(records.refs()) or "nothing"
    return CiError(f"the store {layout.root} has no '{name}', but {there}; name one of these or install it.")
