"""The use of a tree by a job.

The tree is checked, and held so that no process removes it; the use is recorded.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from ..errors import CiError
from ..host.flock import Flock
from .index import Index
from .layout import Layout
from .receipt import single_file

# Only repair and removal hold a tree exclusively; a repair downloads, so this is generous.
PATIENCE_SECONDS = 600.0
_MOST_CHANGES = 3


class DamageError(CiError):
    """A published tree differs from its receipt."""


class Use(NamedTuple):
    """A tree in use. ``path`` is the tree, or its single file; the ``lock`` is held."""

    name: str
    sha256: str
    path: str
    lock: Flock


def take(layout: Layout, name: str, patience_seconds: float = PATIENCE_SECONDS) -> Use:
    """Hold the tree of ``name``, check it, record its use, and return it.

    Needs only the right to read the store. Raises DamageError for a damaged tree, CiError for an unknown name
    or a file system without flock.
    """
    index = Index(layout)
    for _attempt in range(_MOST_CHANGES):
        ref = index.ref(name) if "/" not in name else None
        if ref is None:
            raise _unknown(layout, index, name)
        lock = Flock(layout.mutate_lock(ref.sha256), shared=True)
        lock.acquire(patience_seconds)
        # The name may have got another digest before we held this one.
        again = index.ref(name)
        if again is None or again.sha256 != ref.sha256:
            lock.release()
            continue
        condition = index.condition(ref.sha256, full=False)
        if condition.receipt is None:
            lock.release()
            raise DamageError(
                f"The artifact {name} in {layout.root} is damaged "
                f"({condition.damage or 'its tree is missing'}), so it is not used; converge the host again, "
                "which fetches it again."
            )
        index.touch(ref.sha256)
        only = single_file(condition.receipt)
        tree = layout.tree(ref.sha256)
        return Use(name, ref.sha256, os.path.join(tree, only) if only else tree, lock)
    raise CiError(
        f"The artifact {name} in the store {layout.root} changes again and again; run again when "
        "that is over."
    )


def _unknown(layout: Layout, index: Index, name: str) -> CiError:
    if not layout.exists():
        return CiError(
            f"There is no store at {layout.root}; converge the host, or name another one with --store."
        )
    there = ", ".join(index.refs()) or "nothing"
    return CiError(f"The store {layout.root} has no '{name}', but {there}; name one of these or install it.")
