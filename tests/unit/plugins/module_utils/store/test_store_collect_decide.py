"""What a collection decides, as a pure function.

Tables for the reasons, properties for the rest.
"""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.store.collect import (
    DAY_SECONDS,
    Decision,
    Policy,
    check,
    decide,
)
from ansible_collections.coldvox.ci.plugins.module_utils.store.trees import Disk, Tree
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_800_000_000.0
ROOMY = Disk(1000, 900)


def tree(sha256: str, days: float = 1, size: int = 10, **more: Any) -> Tree:
    return Tree(sha256, size, NOW - days * DAY_SECONDS, (sha256,))._replace(**more)


def removed(decision: Decision) -> list[str]:
    return [verdict.tree.sha256 for verdict in decision.remove]


def reasons(decision: Decision) -> dict[str, str]:
    return {verdict.tree.sha256: verdict.reason for verdict in (*decision.remove, *decision.keep)}


def test_decide_without_limits_removes_only_trees_without_a_name() -> None:
    trees = [tree("a", 500), tree("b", 0, names=()), tree("c", names=(), held="in use by process 7 (job)")]
    decision = decide(trees, Policy(), ROOMY, NOW)
    assert removed(decision) == ["b"]
    assert reasons(decision) == {
        "a": "no limit asks for its room",
        "b": "no name refers to it",
        "c": "in use by process 7 (job)",
    }


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy(keep_bytes=30), []),
        (Policy(keep_bytes=29), ["old"]),
        (Policy(keep_bytes=20), ["old"]),
        (Policy(keep_bytes=19), ["old", "mid"]),
        (Policy(keep_bytes=1), ["old", "mid", "new"]),
        (Policy(max_unused_days=30), ["old"]),
        (Policy(max_unused_days=40), []),
        (Policy(max_unused_days=9), ["old", "mid"]),
        (Policy(min_free_percent=90), []),
        (Policy(min_free_percent=91), ["old"]),
        (Policy(min_free_percent=93), ["old", "mid", "new"]),
        (Policy(keep_bytes=25, max_unused_days=9), ["old", "mid"]),
    ],
)
def test_decide_removes_least_recently_used_first_and_no_more_than_needed(
    policy: Policy, expected: list[str]
) -> None:
    trees = [tree("new", 1), tree("old", 40), tree("mid", 10)]
    assert removed(decide(trees, policy, ROOMY, NOW)) == expected


def test_decide_gives_reasons() -> None:
    trees = [
        tree("gone", 50),
        tree("pin", 60, held="pinned as pin"),
        tree("link", 20, linked="linked from /l"),
        tree("room", 10),
        tree("stay", 1),
    ]
    assert reasons(decide(trees, Policy(30, 30), ROOMY, NOW)) == {
        "gone": "unused for 50 days",
        "pin": "pinned as pin",
        "link": "linked from /l",
        "room": "the store is over its budget of 30 bytes",
        "stay": "no limit asks for its room",
    }
    few = decide([tree("a")], Policy(min_free_percent=95), ROOMY, NOW)
    assert reasons(few) == {"a": "less than 95 % of the disk is free"}


def test_decide_lets_a_link_protect_from_missing_space_and_not_from_age() -> None:
    linked = [tree("a", 40, linked="linked from /l")]
    assert removed(decide(linked, Policy(keep_bytes=1), ROOMY, NOW)) == []
    assert removed(decide(linked, Policy(max_unused_days=30), ROOMY, NOW)) == ["a"]


def test_decide_counts_a_future_use_as_now_and_nothing_as_old_with_a_wrong_clock() -> None:
    trees = [tree("future", -4000), tree("now", 0), tree("old", 400)]
    decision = decide(trees, Policy(max_unused_days=30), ROOMY, NOW, "the clock went back")
    assert removed(decision) == []
    assert reasons(decision)["old"] == "unused for 400 days, but the clock went back"
    # Future and now are equally recent, so the digest decides, and neither is older than the other.
    assert removed(decide(trees, Policy(keep_bytes=10), ROOMY, NOW)) == ["old", "future"]
    # Missing space is freed independent of the clock.
    assert removed(decide(trees, Policy(keep_bytes=20), ROOMY, NOW, "the clock went back")) == ["old"]


@pytest.mark.parametrize("policy", [Policy(-1), Policy(0, -1), Policy(0, 0, -1), Policy(0, 0, 101)])
def test_check_refuses_limits_out_of_range(policy: Policy) -> None:
    with pytest.raises(CiError, match="must not be below 0"):
        check(policy)


digests = st.integers(0, 999).map("{:03}".format)
# Links are left out where a property does not hold with them: one that is too old makes room for others.
plain = st.builds(
    Tree,
    sha256=digests,
    bytes=st.integers(0, 1000),
    last_used=st.floats(NOW - 100 * DAY_SECONDS, NOW + 100 * DAY_SECONDS),
    names=st.sampled_from([(), ("x",)]),
    held=st.sampled_from(["", "", "pinned"]),
    linked=st.just(""),
)
linked = st.builds(lambda item, link: item._replace(linked=link), plain, st.sampled_from(["", "linked"]))


def some(kind: st.SearchStrategy[Tree]) -> st.SearchStrategy[list[Tree]]:
    return st.lists(kind, max_size=12, unique_by=lambda item: item.sha256)


policies = st.builds(
    Policy,
    st.integers(0, 6000),
    st.floats(0, 120).map(lambda days: round(days, 2)),
    st.integers(0, 100),
    st.just(0),
)
disks = st.integers(1, 20_000).flatmap(lambda total: st.builds(Disk, st.just(total), st.integers(0, total)))


@given(some(linked), policies, disks, st.sampled_from(["", "the clock jumped"]))
def test_decide_judges_every_tree_once_and_keeps_held_ones(
    trees: list[Tree], policy: Policy, disk: Disk, problem: str
) -> None:
    decision = decide(trees, policy, disk, NOW, problem)
    judged = [verdict.tree for verdict in (*decision.remove, *decision.keep)]
    assert sorted(judged) == sorted(trees)
    assert all(verdict.reason for verdict in (*decision.remove, *decision.keep))
    assert not any(verdict.tree.held for verdict in decision.remove)
    assert decide(reversed(trees), policy, disk, NOW, problem) == decision


def rank(item: Tree) -> tuple[bool, float]:
    return bool(item.names), min(item.last_used, NOW)


@given(some(plain), policies, disks)
def test_decide_removes_less_recently_used_before_more_recently_used(
    trees: list[Tree], policy: Policy, disk: Disk
) -> None:
    decision = decide(trees, policy, disk, NOW)
    order = [rank(verdict.tree) for verdict in decision.remove]
    assert order == sorted(order)
    stayed = [rank(verdict.tree) for verdict in decision.keep if not verdict.tree.held]
    assert not order or not stayed or max(order) <= min(stayed)


@given(some(linked), policies, disks)
def test_decide_stops_as_soon_as_all_limits_are_met(trees: list[Tree], policy: Policy, disk: Disk) -> None:
    decision = decide(trees, policy, disk, NOW)
    total, free = sum(item.bytes for item in trees), disk.free_bytes
    for verdict in decision.remove:
        item = verdict.tree
        too_old = 0 < policy.max_unused_days < (NOW - item.last_used) / DAY_SECONDS
        over = 0 < policy.keep_bytes < total
        short = free * 100 < policy.min_free_percent * disk.total_bytes
        assert not item.names or too_old or over or short
        total, free = total - item.bytes, free + item.bytes
    # And it does not stop earlier: what could still go would bring no limit nearer.
    for verdict in decision.keep:
        item = verdict.tree
        if not item.held and not item.linked:
            assert item.names
            assert not 0 < policy.max_unused_days < (NOW - item.last_used) / DAY_SECONDS
            assert not 0 < policy.keep_bytes < total
            assert free * 100 >= policy.min_free_percent * disk.total_bytes


@given(some(plain), policies, disks, st.integers(0, 3000), st.floats(0, 50), st.integers(0, 50))
def test_decide_removes_at_least_as_much_for_a_stricter_policy(
    trees: list[Tree], policy: Policy, disk: Disk, less: int, fewer: float, more: int
) -> None:
    strict = Policy(
        max(1, policy.keep_bytes - less) if policy.keep_bytes else less,
        max(0.1, policy.max_unused_days - fewer) if policy.max_unused_days else fewer,
        policy.min_free_percent + more,
    )
    lax_removed = set(removed(decide(trees, policy, disk, NOW)))
    assert lax_removed <= set(removed(decide(trees, strict, disk, NOW)))


@given(some(linked), policies, disks)
def test_decide_removes_nothing_more_the_second_time(trees: list[Tree], policy: Policy, disk: Disk) -> None:
    first = decide(trees, policy, disk, NOW)
    freed = sum(verdict.tree.bytes for verdict in first.remove)
    left = [verdict.tree for verdict in first.keep]
    assert decide(left, policy, disk._replace(free_bytes=disk.free_bytes + freed), NOW).remove == ()
