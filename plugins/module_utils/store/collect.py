"""Making room: takes away what ``collection`` decides, tree by tree; a crash costs nothing but time.

Which trees a collection takes away, in which order, and why each of the others stays. Pure.

What interrupted work left behind: broken downloads, half trees, trash, notes without their subject.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Optional

from ..errors import CiError
from ..host.clock import boot_id, timestamp
from ..host.durable import read_text, remove_file, replace_file, storage_error
from ..host.flock import occupied
from . import trust
from .layout import Layout
from .lease import Instant
from .lease import now as clocks
from .locks import Locks
from .records import Records
from .trash import discard_tree, forget_names
from .trees import (
    HELD,
    NO_LOCKS,
    Disk,
    Tree,
    Uses,
    bytes_below,
    digests,
    last_used_at,
    measure_disk,
    names_by_digest,
    names_in,
    newest_write,
    protection,
    read_trees,
)

DAY_SECONDS = 86400.0


class Policy(NamedTuple):
    """What may stay: at most ``keep_bytes`` of trees, none unused for more than ``max_unused_days``, and
    only so much that ``min_free_percent`` of the disk stays free. 0 sets no such limit.
    """

    keep_bytes: int = 0
    max_unused_days: float = 0.0
    min_free_percent: float = 0.0


class Verdict(NamedTuple):
    """What is decided about a tree, and why, in a few words."""

    tree: Tree
    reason: str


class Decision(NamedTuple):
    """What to remove, in this order, and what to keep, least recently used first."""

    remove: tuple[Verdict, ...]
    keep: tuple[Verdict, ...]


def check(policy: Policy) -> None:
    """Raise CiError when a limit of ``policy`` makes no sense."""
    if min(policy) < 0 or policy.min_free_percent > 100:
        raise CiError(
            f"keep_bytes={policy.keep_bytes}, max_unused_days={policy.max_unused_days:g} and "
            f"min_free_percent={policy.min_free_percent:g} must not be below 0, and a percentage not above "
            "100; 0 sets no limit."
        )


def lacks_space(policy: Policy, disk: Disk) -> bool:
    """Tell whether less of ``disk`` is free than ``policy`` asks for."""
    return disk.free_bytes * 100 < policy.min_free_percent * disk.total_bytes


def decide(
    trees: Iterable[Tree], policy: Policy, disk: Disk, now: float, clock_problem: str = ""
) -> Decision:
    """Return what to remove of ``trees`` so that ``policy`` is met with as few of them as it takes.

    Trees without a name go first, whatever the limits, because nothing can find them any more; then the
    least recently used. A use in the future counts as ``now``. With a ``clock_problem`` no tree counts as
    unused for too long.
    """
    ordered = sorted(trees, key=lambda tree: (bool(tree.names), min(tree.last_used, now), tree.sha256))
    total = sum(tree.bytes for tree in ordered)
    remove, keep = [], []
    for tree in ordered:
        unused_days = max(0.0, now - tree.last_used) / DAY_SECONDS
        too_old = 0 < policy.max_unused_days < unused_days
        room = _want_of_room(policy, total, disk)
        why = "no name refers to it" if not tree.names else ""
        if not why and too_old and not clock_problem:
            why = f"unused for {unused_days:.0f} days"
        if tree.held:
            keep.append(Verdict(tree, tree.held))
        elif why or (room and not tree.linked):
            remove.append(Verdict(tree, why or room))
            total -= tree.bytes
            disk = disk._replace(free_bytes=disk.free_bytes + tree.bytes)
        elif room:
            keep.append(Verdict(tree, tree.linked))
        elif too_old:
            keep.append(Verdict(tree, f"unused for {unused_days:.0f} days, but {clock_problem}"))
        else:
            keep.append(Verdict(tree, "no limit asks for its room"))
    return Decision(tuple(remove), tuple(keep))


def _want_of_room(policy: Policy, total_bytes: int, disk: Disk) -> str:
    if 0 < policy.keep_bytes < total_bytes:
        return f"the store is over its budget of {policy.keep_bytes} bytes"
    if lacks_space(policy, disk):
        return f"less than {policy.min_free_percent:g} % of the disk is free"
    return ""


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


class Item(NamedTuple):
    """One tree and what became of it, fit for JSON. ``last_used`` is UTC ISO 8601."""

    sha256: str
    names: tuple[str, ...]
    bytes: int
    last_used: str
    reason: str


class Collected(NamedTuple):
    """What a collection did, or would do.

    ``freed_bytes`` counts trees and ``leftover_bytes`` (broken downloads and the like); ``total_bytes`` are
    the trees that are left. ``before`` and ``after`` are names and digests, for a diff.
    """

    changed: bool
    removed: tuple[Item, ...]
    kept: tuple[Item, ...]
    freed_bytes: int
    leftover_bytes: int
    total_bytes: int
    warnings: tuple[str, ...]
    before: dict[str, Any]
    after: dict[str, Any]


def collect(
    store: str, policy: Policy, *, dry_run: bool = False, clock: Callable[[], Instant] = clocks
) -> Collected:
    """Make room in the store at the path ``store`` until ``policy`` is met; a missing store is left missing.

    Never takes a tree that is pinned, being read or fetched, or that a program's path leads to. With
    ``dry_run`` nothing is written. Raises CiError in one sentence.
    """
    check(policy)
    layout = Layout(store)
    layout.check()
    if not layout.exists():
        return Collected(False, (), (), 0, 0, 0, (), {}, {})
    try:
        if dry_run:
            return _Collection(layout, policy, clock(), None).run()
        layout.prepare()
        locks = Locks(layout)
        with locks.collecting():
            return _Collection(layout, policy, clock(), locks).run()
    except OSError as error:
        raise storage_error(f"collecting in the store {layout.root}", error) from error


class _Collection:
    """One collection; without ``locks`` it only predicts."""

    def __init__(self, layout: Layout, policy: Policy, now: Instant, locks: Optional[Locks]) -> None:
        self._layout = layout
        self._policy = policy
        self._now = now
        self._locks = locks
        self._locking = locks is None or locks.works
        self._records = Records(layout, boot_id())
        self._warnings: list[str] = []

    def run(self) -> Collected:
        anchor, problem = self._observe_clock()
        if not self._locking:
            self._warnings.append(f"no tree of the store {self._layout.root} was removed: {NO_LOCKS}.")
        behind = not self._records.generated_current()
        cleared, leftover_bytes = self._clear_leftovers(problem)
        trees = read_trees(self._layout, self._records, locking=self._locking)
        disk = measure_disk(self._layout)
        if self._locks is None:
            disk = disk._replace(free_bytes=disk.free_bytes + leftover_bytes)
        decision = decide(trees, self._policy, disk, self._now.wall, problem)
        removed, spared = self._remove(decision.remove)
        kept = [*spared, *decision.keep]
        if self._locks is not None:
            self._bring_in_step()
            self._note_uses(kept)
            with contextlib.suppress(OSError):
                replace_file(self._layout.clock, trust.encode(anchor), durable=False)
        if problem and any(problem in verdict.reason for verdict in kept):
            self._warnings.append(f"no tree counted as too old in {self._layout.root}, because {problem}.")
        freed = sum(verdict.tree.bytes for verdict in removed)
        return Collected(
            changed=bool(removed or cleared or behind),
            removed=tuple(_item(verdict) for verdict in removed),
            kept=tuple(_item(verdict) for verdict in kept),
            freed_bytes=freed + leftover_bytes,
            leftover_bytes=leftover_bytes,
            total_bytes=sum(verdict.tree.bytes for verdict in kept),
            warnings=tuple(self._warnings),
            before=_outline(trees),
            after=_outline([verdict.tree for verdict in kept]),
        )

    def _observe_clock(self) -> tuple[trust.Anchor, str]:
        anchor = trust.decode(read_text(self._layout.clock))
        needed = self._policy.max_unused_days * DAY_SECONDS
        return trust.observe(anchor, self._now, newest_write(self._layout), needed)

    def _clear_leftovers(self, clock_problem: str) -> tuple[int, int]:
        """Clear away what interrupted work left; return how many things and how many bytes."""
        pressed = lacks_space(self._policy, measure_disk(self._layout))
        situation = Situation(self._now.wall, self._locking, pressed, clock_problem)
        found = find(self._layout, situation)
        if self._locks is not None:
            locks = self._locks
            found = [leftover for leftover in found if clear(self._layout, leftover, locks)]
        return len(found), sum(leftover.bytes for leftover in found)

    def _remove(self, wanted: Sequence[Verdict]) -> tuple[list[Verdict], list[Verdict]]:
        """Remove the trees ``wanted``; return those removed, and those that somebody wants by now."""
        removed, spared = [], []
        for verdict in wanted:
            reason = self._take(verdict.tree) if self._locks is not None else ""
            if reason:
                spared.append(Verdict(verdict.tree, reason))
            else:
                removed.append(verdict)
        return removed, spared

    def _take(self, tree: Tree) -> str:
        """Take ``tree`` away under its locks; return why not, if somebody came to want it since we looked.

        Names and links go before the tree, so that whoever follows one finds all of it or nothing. Killed in
        between, this leaves a tree without a name, which the next collection takes first.
        """
        if self._locks is None:
            raise AssertionError("taking away needs the locks that the caller opens")
        with self._locks.taking_away(tree.sha256) as free:
            if not free:
                return Uses(self._layout).of(tree.sha256).text or "in use"
            with self._locks.changing_refs():
                refs = names_by_digest(self._records.refs()).get(tree.sha256, [])
                held, linked = protection(self._layout, refs)
                if held or {ref.name for ref in refs} - set(tree.names) or (linked and not tree.linked):
                    return held or linked or "it got a name meanwhile"
                if last_used_at(self._layout, tree.sha256) != tree.last_used:
                    return "used a moment ago"
                if refs:
                    forget_names(self._layout, self._records, refs)
            discard_tree(self._layout, self._records, tree.sha256)
        return ""

    def _bring_in_step(self) -> None:
        if self._locks is not None and not self._records.generated_current():
            with self._locks.changing_refs():
                self._records.regenerate()

    def _note_uses(self, kept: Sequence[Verdict]) -> None:
        """Count it as a use when a job holds a tree: jobs may not write to the store themselves."""
        for verdict in kept:
            if self._locking and Uses(self._layout).of(verdict.tree.sha256).reading:
                self._records.touch(verdict.tree.sha256)


def _item(verdict: Verdict) -> Item:
    tree = verdict.tree
    return Item(tree.sha256, tree.names, tree.bytes, timestamp(tree.last_used), verdict.reason)


def _outline(trees: Sequence[Tree]) -> dict[str, Any]:
    """Return names and digests for a diff; a tree without a name stands under its digest."""
    return {name: tree.sha256 for tree in trees for name in (tree.names or (f"({tree.sha256[:12]})",))}
