"""Which trees a collection takes away, in which order, and why each of the others stays. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..errors import CiError

DAY_SECONDS = 86400.0


class Tree(NamedTuple):
    """One published tree, as far as collecting is concerned.

    ``last_used`` is in seconds since the epoch. ``held`` says why the tree must stay whatever is asked for
    (pinned, being read, a program's fixed path), ``linked`` what keeps it against a want of room alone; both
    are empty for nothing.
    """

    sha256: str
    bytes: int
    last_used: float
    names: tuple[str, ...] = ()
    held: str = ""
    linked: str = ""


class Policy(NamedTuple):
    """What may stay: at most ``keep_bytes`` of trees, none unused for more than ``max_unused_days``, and
    only so much that ``min_free_percent`` of the disk stays free. 0 sets no such limit.
    """

    keep_bytes: int = 0
    max_unused_days: float = 0.0
    min_free_percent: float = 0.0


class Disk(NamedTuple):
    """The file system of the store: its size, and what is free to its users."""

    total_bytes: int
    free_bytes: int


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
