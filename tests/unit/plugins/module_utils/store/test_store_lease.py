from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.store import lease as leases
from ansible_collections.coldvox.ci.plugins.module_utils.store.lease import (
    ACQUIRED,
    BUSY,
    FREE,
    REFUSED,
    RELEASED,
    RENEWED,
    Acquire,
    Instant,
    Release,
    State,
    acquire,
    decode,
    encode,
    release,
    remaining_seconds,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

START = Instant("boot-1", 100.0, 1_700_000_000.0)


def later(seconds: float, boot: str = "boot-1", wall_jump: float = 0.0) -> Instant:
    return Instant(boot, START.boottime + seconds, START.wall + seconds + wall_jump)


def held() -> State:
    state, answer = acquire(State(), Acquire("alice", 60), START)
    assert (answer.outcome, answer.token) == (ACQUIRED, 1)
    return state


def test_lease_is_busy_for_another_owner() -> None:
    state, answer = acquire(held(), Acquire("bob", 60), later(20))
    assert state == held()
    assert (answer.outcome, answer.holder, answer.holder_token, answer.remaining_seconds) == (
        BUSY,
        "alice",
        1,
        40,
    )


def test_lease_is_renewed_by_owner_and_token() -> None:
    for wish in (Acquire("alice", 60), Acquire("another", 60, token=1)):
        state, answer = acquire(held(), wish, later(20))
        assert (answer.outcome, answer.token, answer.owner) == (RENEWED, 1, "alice")
        assert state.lease is not None
        assert remaining_seconds(state.lease, later(20)) == 60


def test_lease_that_ran_out_is_taken_over_and_marked_stolen() -> None:
    state, answer = acquire(held(), Acquire("bob", 60), later(60))
    assert (answer.outcome, answer.token, answer.stolen, answer.holder) == (ACQUIRED, 2, True, "alice")
    _state, lost = acquire(state, Acquire("alice", 60, token=1), later(61))
    assert (lost.outcome, lost.holder, lost.holder_token) == (REFUSED, "bob", 2)


def test_lease_that_ran_out_can_be_renewed_by_its_token() -> None:
    assert acquire(held(), Acquire("alice", 60, token=1), later(500))[1].outcome == RENEWED
    # Without the token it cannot be the same work: it counts as new.
    answer = acquire(held(), Acquire("alice", 60), later(500))[1]
    assert (answer.outcome, answer.token, answer.stolen) == (ACQUIRED, 2, True)


def test_lease_is_released_by_owner_or_token_only() -> None:
    for wish in (Release("bob"), Release("alice", token=7), Release("bob", token=7)):
        state, answer = release(held(), wish, later(1))
        assert state == held()
        assert (answer.outcome, answer.holder, answer.holder_token) == (REFUSED, "alice", 1)
    for wish in (Release("alice"), Release("bob", token=1)):
        state, answer = release(held(), wish, later(1))
        assert (state, answer.outcome) == (State(1), RELEASED)
    assert release(State(1), Release("alice"), later(1))[1].outcome == FREE


def test_lease_tokens_grow_after_a_release_and_without_the_counter() -> None:
    state, _answer = release(held(), Release("alice"), later(1))
    assert acquire(state, Acquire("bob", 60), later(2))[1].token == 2
    lost_counter = held()._replace(counter=0)
    assert acquire(lost_counter, Acquire("bob", 60), later(60))[1].token == 2


def test_lease_after_a_reboot_ends_neither_early_nor_never() -> None:
    state = held()
    just_up = Instant("boot-2", 5.0, START.wall + 30)
    assert acquire(state, Acquire("bob", 60), just_up)[1].outcome == BUSY
    up_for_the_term = Instant("boot-2", 60.0, START.wall + 85)
    assert acquire(state, Acquire("bob", 60), up_for_the_term)[1].outcome == ACQUIRED


@given(st.floats(-1e9, 1e9), st.floats(0, 200))
def test_lease_ignores_the_wall_clock(jump: float, seconds: float) -> None:
    wish = Acquire("bob", 60)
    assert acquire(held(), wish, later(seconds, wall_jump=jump)) == acquire(held(), wish, later(seconds))


def test_lease_survives_its_file() -> None:
    state = held()
    assert state.lease is not None
    assert decode(encode(state.lease), "x") == state.lease


@pytest.mark.parametrize(
    "data", [{}, {"schema": 2}, {"schema": 1, "owner": "x"}, {"schema": 1, "token": "x"}]
)
def test_lease_that_is_damaged_is_an_error_with_a_remedy(data: dict[str, Any]) -> None:
    with pytest.raises(CiError, match=r"/x/y\.json cannot be understood; .* remove the file"):
        decode(data, "/x/y.json")


OWNERS = st.sampled_from(["alice", "bob", "carol"])


class LeaseMachine(RuleBasedStateMachine):
    """Any history of wishes, time, reboots and lost files.

    No two owners at once, and numbers only grow.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.now = START
        self.given: list[int] = []
        self.holding: dict[str, tuple[int, Instant, float]] = {}

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds: float) -> None:
        self.now = self.now._replace(boottime=self.now.boottime + seconds, wall=self.now.wall + seconds)

    @rule(jump=st.floats(-1e6, 1e6))
    def the_wall_clock_jumps(self, jump: float) -> None:
        self.now = self.now._replace(wall=self.now.wall + jump)

    @rule(up=st.floats(0, 30))
    def the_machine_reboots(self, up: float) -> None:
        self.now = Instant(self.now.boot_id + "x", up, self.now.wall)

    @rule()
    def the_lease_file_is_deleted(self) -> None:
        self.state = State(max(self.state.counter, 0))
        self.holding.clear()

    @rule(owner=OWNERS, ttl=st.floats(1, 90))
    def somebody_acquires(self, owner: str, ttl: float) -> None:
        before = self.state
        self.state, answer = acquire(self.state, Acquire(owner, ttl), self.now)
        if answer.outcome == ACQUIRED:
            assert answer.token is not None
            assert all(answer.token > token for token in self.given)
            self.given.append(answer.token)
            for other, (_token, since, term) in self.holding.items():
                over = self.now.boot_id != since.boot_id or self.now.boottime - since.boottime >= term
                assert over, f"{other} was robbed"
            self.holding = {}
        if answer.outcome in (ACQUIRED, RENEWED):
            assert answer.token is not None
            self.holding[owner] = (answer.token, self.now, ttl)
        else:
            assert answer.outcome == BUSY
            assert self.state == before
            assert answer.holder != owner

    @rule(owner=OWNERS, stale=st.booleans())
    def somebody_releases(self, owner: str, stale: bool) -> None:
        mine = self.holding.get(owner)
        token = mine[0] if mine and not stale else None
        before = self.state
        self.state, answer = release(self.state, Release(owner, token), self.now)
        if answer.outcome == REFUSED:
            assert self.state == before
            assert answer.holder != owner
        else:
            self.holding.pop(owner, None)

    @invariant()
    def at_most_one_holds(self) -> None:
        lease = self.state.lease
        assert self.state.counter >= max(self.given, default=0)
        if lease:
            assert 0 <= remaining_seconds(lease, self.now) <= lease.ttl_seconds


TestLeaseHistories = LeaseMachine.TestCase


def test_lease_names_are_safe_as_file_names() -> None:
    assert leases.NAME.fullmatch("toolchains-1.75")
    assert not leases.NAME.fullmatch("../x")
