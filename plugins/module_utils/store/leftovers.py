"""What interrupted work left behind: broken downloads, half trees, trash, notes without their subject."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from typing import NamedTuple

from ..flock import occupied
from .durable import remove_file
from .layout import Layout
from .locking import Locks
from .survey import HELD, bytes_below, digests, names_in

# A broken download is worth continuing for a day; a file being replaced is in place within a second.
_ABANDONED_SECONDS = 86400.0
# As ``durable.replace_file`` and ``links.swap`` name what they are about to move into place.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}")
_TEMPORARY_AREAS = ("", "refs", "receipts", "models", "progress", "leases", "counters", "partial")
_BOOKS = ("receipts", "last_used")


class Leftover(NamedTuple):
    """One thing that nobody will miss. ``sha256`` is empty for what belongs to no digest."""

    path: str
    sha256: str
    bytes: int


class Situation(NamedTuple):
    """What decides whether something is left over.

    ``now`` is in seconds since the epoch, ``locking`` tells whether locks can be believed, ``pressed``
    whether the disk is short of space. With a ``clock_problem`` no file's age counts.
    """

    now: float
    locking: bool
    pressed: bool
    clock_problem: str = ""


def find(layout: Layout, situation: Situation) -> list[Leftover]:
    """Return what can be cleared away. A broken download stays for a day, unless the disk is short of space.

    Where locks cannot be believed, only what is old can be told from what a process is filling.
    """
    locking = situation.locking

    def is_free(sha256: str) -> bool:
        return locking and occupied(layout.download_lock(sha256)) not in HELD

    found = [Leftover(path, "", bytes_below(path)) for path, _sha256 in _in_area(layout, "trash")]
    for area in ("staging", "partial"):
        for path, sha256 in _in_area(layout, area):
            at_once = area == "staging" or situation.pressed
            if (is_free(sha256) and at_once) or (
                _is_old(path, situation) and (is_free(sha256) or not locking)
            ):
                found.append(Leftover(path, sha256 if locking else "", bytes_below(path)))
    notes = [*_in_area(layout, "progress"), *_orphaned_books(layout)]
    found += [Leftover(path, sha256, 0) for path, sha256 in notes if is_free(sha256)]
    found += [Leftover(path, "", 0) for path in _temporaries(layout) if _is_old(path, situation)]
    return found


def _is_old(path: str, situation: Situation) -> bool:
    try:
        age = situation.now - os.lstat(path).st_mtime
    except OSError:
        return False
    return not situation.clock_problem and age > _ABANDONED_SECONDS


def clear(layout: Layout, leftover: Leftover, locks: Locks) -> bool:
    """Remove ``leftover`` unless its digest is wanted again by now; return whether it is gone."""
    with contextlib.ExitStack() as stack:
        if leftover.sha256 and not stack.enter_context(locks.taking_away(leftover.sha256)):
            return False
        is_book = os.path.basename(os.path.dirname(leftover.path)) in _BOOKS
        if is_book and leftover.sha256 and os.path.lexists(layout.tree(leftover.sha256)):
            return False  # published since we looked
        shutil.rmtree(leftover.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            remove_file(leftover.path)
    return not os.path.lexists(leftover.path)


def _in_area(layout: Layout, area: str) -> Iterator[tuple[str, str]]:
    """Give path and digest of everything in ``area``; temporary files are looked at elsewhere."""
    for name in names_in(layout.area(area)):
        if not _TEMPORARY.fullmatch(name):
            yield os.path.join(layout.area(area), name), name.partition(".")[0]


def _orphaned_books(layout: Layout) -> Iterator[tuple[str, str]]:
    """Give the receipts and last uses of trees that are not there."""
    present = set(digests(layout))
    for area in _BOOKS:
        for path, sha256 in _in_area(layout, area):
            if sha256 not in present:
                yield path, sha256


def _temporaries(layout: Layout) -> Iterator[str]:
    for area in _TEMPORARY_AREAS:
        for name in names_in(layout.area(area)):
            if _TEMPORARY.fullmatch(name):
                yield os.path.join(layout.area(area), name)
