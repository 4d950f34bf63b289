"""Collection: removes trees until the limits are met, least recently used first.

``decide`` is pure. Names and links go before their tree, so a crash leaves a tree without a name at worst,
which the next collection removes first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Optional

from ..errors import CiError
from ..host.clock import timestamp
from ..host.durable import read_text, replace_file, storage_error
from . import clock_check
from .index import Index
from .layout import Layout
from .lease import Instant
from .lease import now as clocks
from .locks import Locks
from .trash import clear, discard_tree, forget_names, interrupted, orphaned
from .trees import (
    Disk,
    Tree,
    Uses,
    last_used_at,
    measure_disk,
    names_by_digest,
    newest_write,
    protection,
    read_trees,
)

DAY_SECONDS = 86400.0
# A later run may continue a broken download for a day.
_ABANDONED_SECONDS = 86400.0


class Policy(NamedTuple):
    """The limits of a collection; 0 sets no limit.

    They are the bytes of all trees, the days without a use, and the free space of the disk, as a part of it
    or in bytes.
    """

    keep_bytes: int = 0
    max_unused_days: float = 0.0
    min_free_percent: float = 0.0
    min_free_bytes: int = 0


class Verdict(NamedTuple):
    """The decision about a tree, and its reason in a few words."""

    tree: Tree
    reason: str


class Decision(NamedTuple):
    """The trees to remove, in this order, and the trees to keep.

    Both are least recently used first.
    """

    remove: tuple[Verdict, ...]
    keep: tuple[Verdict, ...]


def check(policy: Policy) -> None:
    """Raise CiError when a limit of ``policy`` makes no sense."""
    if min(policy) < 0 or policy.min_free_percent > 100:
        raise CiError(
            f"The limits keep_bytes={policy.keep_bytes}, max_unused_days={policy.max_unused_days:g} and "
            f"min_free_percent={policy.min_free_percent:g} must not be below 0, and a percentage not above "
            "100; correct them, and give 0 for no limit."
        )


def lacks_space(policy: Policy, disk: Disk) -> bool:
    """Tell whether less of ``disk`` is free than ``policy`` asks for."""
    too_small_part = disk.free_bytes * 100 < policy.min_free_percent * disk.total_bytes
    return too_small_part or disk.free_bytes < policy.min_free_bytes


def decide(
    trees: Iterable[Tree], policy: Policy, disk: Disk, now: float, clock_problem: str = ""
) -> Decision:
    """Return the fewest of ``trees`` to remove so that ``policy`` is met.

    Trees without a name go first, also when no limit is set, because nothing uses them any more; then the
    least recently used. A use in the future counts as ``now``. With a ``clock_problem`` no tree counts as
    unused for too long.
    """
    ordered = sorted(trees, key=lambda tree: (bool(tree.names), min(tree.last_used, now), tree.sha256))
    total = sum(tree.bytes for tree in ordered)
    remove, keep = [], []
    for tree in ordered:
        unused_days = max(0.0, now - tree.last_used) / DAY_SECONDS
        too_old = 0 < policy.max_unused_days < unused_days
        space = _missing_space(policy, total, disk)
        why = "no name refers to it" if not tree.names else ""
        if not why and too_old and not clock_problem:
            why = f"unused for {unused_days:.0f} days"
        if tree.held:
            keep.append(Verdict(tree, tree.held))
        elif why or (space and not tree.linked):
            remove.append(Verdict(tree, why or space))
            total -= tree.bytes
            disk = disk._replace(free_bytes=disk.free_bytes + tree.bytes)
        elif space:
            keep.append(Verdict(tree, tree.linked))
        elif too_old:
            keep.append(Verdict(tree, f"unused for {unused_days:.0f} days, but {clock_problem}"))
        else:
            keep.append(Verdict(tree, "no limit asks for its room"))
    return Decision(tuple(remove), tuple(keep))


def _missing_space(policy: Policy, total_bytes: int, disk: Disk) -> str:
    if 0 < policy.keep_bytes < total_bytes:
        return f"the store is over its budget of {policy.keep_bytes} bytes"
    if disk.free_bytes < policy.min_free_bytes:
        return "a download needs its room"
    if lacks_space(policy, disk):
        return f"less than {policy.min_free_percent:g} % of the disk is free"
    return ""


class Item(NamedTuple):
    """One tree and its outcome, fit for JSON. ``last_used`` is UTC ISO 8601."""

    sha256: str
    names: tuple[str, ...]
    bytes: int
    last_used: str
    reason: str


class Collected(NamedTuple):
    """The result of a collection, or its prediction.

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
    """Remove trees of the store at the path ``store`` until ``policy`` is met.

    A missing store stays missing. Never removes a tree that the inventory wants, that is pinned, being read
    or fetched, or the target of a program's path. With ``dry_run`` writes nothing. Raises CiError.
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


def make_room(layout: Layout, locks: Locks, free_bytes: int) -> None:
    """Try to have ``free_bytes`` free on the disk.

    Removes only what no list of the inventory wants: leftovers, and trees that have no name or only released
    ones.
    """
    with locks.collecting():
        _Collection(layout, Policy(min_free_bytes=free_bytes), clocks(), locks, only_released=True).run()


class _Collection:
    """One collection; without ``locks`` it only predicts.

    With ``only_released`` every tree with a name that is not released stays.
    """

    def __init__(
        self,
        layout: Layout,
        policy: Policy,
        now: Instant,
        locks: Optional[Locks],
        *,
        only_released: bool = False,
    ) -> None:
        self._layout = layout
        self._only_released = only_released
        self._policy = policy
        self._now = now
        self._locks = locks
        self._index = Index(layout)

    def run(self) -> Collected:
        anchor, problem = self._check_clock()
        outdated = not self._index.generated_current()
        cleared, leftover_bytes = self._clear_leftovers(problem)
        trees = [self._kept_if_named(tree) for tree in read_trees(self._layout, self._index)]
        disk = measure_disk(self._layout)
        if self._locks is None:
            disk = disk._replace(free_bytes=disk.free_bytes + leftover_bytes)
        decision = decide(trees, self._policy, disk, self._now.wall, problem)
        removed, spared = self._remove(decision.remove)
        kept = [*spared, *decision.keep]
        if self._locks is not None:
            if not self._index.generated_current():
                with self._locks.changing_refs():
                    self._index.regenerate()
            self._record_uses(kept)
            with contextlib.suppress(OSError):
                replace_file(self._layout.clock, clock_check.encode(anchor), durable=False)
        warnings = []
        if problem and any(problem in verdict.reason for verdict in kept):
            warnings.append(f"No tree counted as too old in {self._layout.root}, because {problem}.")
        freed = sum(verdict.tree.bytes for verdict in removed)
        return Collected(
            changed=bool(removed or cleared or outdated),
            removed=tuple(_item(verdict) for verdict in removed),
            kept=tuple(_item(verdict) for verdict in kept),
            freed_bytes=freed + leftover_bytes,
            leftover_bytes=leftover_bytes,
            total_bytes=sum(verdict.tree.bytes for verdict in kept),
            warnings=tuple(warnings),
            before=_outline(trees),
            after=_outline([verdict.tree for verdict in kept]),
        )

    def _kept_if_named(self, tree: Tree) -> Tree:
        if not self._only_released or tree.held or tree.released or not tree.names:
            return tree
        return tree._replace(held="its name was not released")

    def _check_clock(self) -> tuple[clock_check.Anchor, str]:
        anchor = clock_check.decode(read_text(self._layout.clock))
        needed = self._policy.max_unused_days * DAY_SECONDS
        return clock_check.observe(anchor, self._now, newest_write(self._layout), needed)

    def _clear_leftovers(self, clock_problem: str) -> tuple[int, int]:
        """Remove what interrupted work left; return how many things and how many bytes."""
        pressed = lacks_space(self._policy, measure_disk(self._layout))
        # With a clock problem no file counts as old.
        old_before = 0.0 if clock_problem else self._now.wall - _ABANDONED_SECONDS
        leftovers = [*interrupted(self._layout, old_before, pressed), *orphaned(self._layout, old_before)]
        if self._locks is not None:
            leftovers = [leftover for leftover in leftovers if clear(self._layout, leftover)]
        return len(leftovers), sum(leftover.bytes for leftover in leftovers)

    def _remove(self, wanted: Sequence[Verdict]) -> tuple[list[Verdict], list[Verdict]]:
        """Remove the trees ``wanted``; return those removed, and those in use by now."""
        removed, spared = [], []
        for verdict in wanted:
            reason = self._remove_tree(verdict.tree, self._locks) if self._locks is not None else ""
            if reason:
                spared.append(Verdict(verdict.tree, reason))
            else:
                removed.append(verdict)
        return removed, spared

    def _remove_tree(self, tree: Tree, locks: Locks) -> str:
        """Remove ``tree`` under its locks; return why not, empty when it is removed.

        Its use may have changed since we looked. Names and links go before the tree, so that a program that
        follows one gets all of it or nothing.
        """
        with locks.removing(tree.sha256) as free:
            if not free:
                return Uses(self._layout).of(tree.sha256).text or "in use"
            with locks.changing_refs():
                refs = names_by_digest(self._index.refs()).get(tree.sha256, [])
                held, linked = protection(self._layout, refs)
                if held or {ref.name for ref in refs} - set(tree.names) or (linked and not tree.linked):
                    return held or linked or "it got a name meanwhile"
                if last_used_at(self._layout, tree.sha256) != tree.last_used:
                    return "used a moment ago"
                if refs:
                    forget_names(self._layout, self._index, refs)
            discard_tree(self._layout, self._index, tree.sha256)
        return ""

    def _record_uses(self, kept: Sequence[Verdict]) -> None:
        """Record a use of every tree that a job holds now.

        Jobs may not write to the store themselves.
        """
        uses = Uses(self._layout)
        for verdict in kept:
            if uses.of(verdict.tree.sha256).reading:
                self._index.touch(verdict.tree.sha256)


def _item(verdict: Verdict) -> Item:
    tree = verdict.tree
    return Item(tree.sha256, tree.names, tree.bytes, timestamp(tree.last_used), verdict.reason)


def _outline(trees: Sequence[Tree]) -> dict[str, Any]:
    """Return names and digests for a diff.

    The digest stands for a tree without a name.
    """
    return {name: tree.sha256 for tree in trees for name in (tree.names or (f"({tree.sha256[:12]})",))}
