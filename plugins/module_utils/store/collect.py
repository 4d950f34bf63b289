"""Making room: takes away what ``collection`` decides, tree by tree; a crash costs nothing but time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Optional

from ..lease import Instant
from . import leftovers, survey, trust
from .clock import boot_id, timestamp
from .collection import DAY_SECONDS, Policy, Tree, Verdict, check, decide, lacks_space
from .durable import read_text, replace_file, storage_error
from .layout import Layout
from .leases import now as clocks
from .locking import Locks
from .records import Records
from .trash import discard_tree, forget_names


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
            self._warnings.append(f"no tree of the store {self._layout.root} was removed: {survey.NO_LOCKS}.")
        behind = not self._records.generated_current()
        cleared, leftover_bytes = self._clear_leftovers(problem)
        trees = survey.trees(self._layout, self._records, locking=self._locking)
        disk = survey.disk(self._layout)
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
        return trust.observe(anchor, self._now, survey.newest_write(self._layout), needed)

    def _clear_leftovers(self, clock_problem: str) -> tuple[int, int]:
        """Clear away what interrupted work left; return how many things and how many bytes."""
        pressed = lacks_space(self._policy, survey.disk(self._layout))
        situation = leftovers.Situation(self._now.wall, self._locking, pressed, clock_problem)
        found = leftovers.find(self._layout, situation)
        if self._locks is not None:
            locks = self._locks
            found = [leftover for leftover in found if leftovers.clear(self._layout, leftover, locks)]
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
                return survey.Uses(self._layout).of(tree.sha256).text or "in use"
            with self._locks.changing_refs():
                refs = survey.names_by_digest(self._records.refs()).get(tree.sha256, [])
                held, linked = survey.protection(self._layout, refs)
                if held or {ref.name for ref in refs} - set(tree.names) or (linked and not tree.linked):
                    return held or linked or "it got a name meanwhile"
                if survey.last_used(self._layout, tree.sha256) != tree.last_used:
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
            if self._locking and survey.Uses(self._layout).of(verdict.tree.sha256).reading:
                self._records.touch(verdict.tree.sha256)


def _item(verdict: Verdict) -> Item:
    tree = verdict.tree
    return Item(tree.sha256, tree.names, tree.bytes, timestamp(tree.last_used), verdict.reason)


def _outline(trees: Sequence[Tree]) -> dict[str, Any]:
    """Return names and digests for a diff; a tree without a name stands under its digest."""
    return {name: tree.sha256 for tree in trees for name in (tree.names or (f"({tree.sha256[:12]})",))}
