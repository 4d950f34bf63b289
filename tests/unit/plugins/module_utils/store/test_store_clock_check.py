"""Whether the clock is believed.

Jumps, holidays, flat batteries, and that a steady clock always is.
"""

from __future__ import annotations

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.store.clock_check import (
    Anchor,
    decode,
    encode,
    observe,
)
from ansible_collections.coldvox.ci.plugins.module_utils.store.lease import Instant
from hypothesis import given
from hypothesis import strategies as st

DAY = 86400.0
MONTH = 30 * DAY
START = Instant("boot-1", 1000.0, 1_800_000_000.0)


def after(days: float, jump_days: float = 0.0, boot: str = "boot-1", up_days: float = 0.0) -> Instant:
    """Return the moment ``days`` after START; the wall clock jumps ``jump_days``."""
    boottime = START.boottime + days * DAY if boot == START.boot_id else up_days * DAY
    return Instant(boot, boottime, START.wall + (days + jump_days) * DAY)


def anchored() -> Anchor:
    anchor, problem = observe(None, START, START.wall - DAY, MONTH)
    assert (problem, anchor.steady_seconds) == ("", None)
    return anchor


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (after(1), ""),
        (after(400), ""),
        (after(1, jump_days=0.01), ""),
        (after(1, jump_days=365), "the clock jumped ahead"),
        (after(1, jump_days=-365), "the clock went back"),
        (after(1, jump_days=-0.2), "the clock went back"),
        (after(3, boot="boot-2", up_days=0.1), ""),
        (after(60, boot="boot-2", up_days=0.1), "the machine was off for long"),
        (after(60, boot="boot-2", up_days=58), ""),
        (after(2, jump_days=-30, boot="boot-2", up_days=1), "the clock went back"),
        (Instant("boot-2", 10.0, 100.0), "is not set"),
        (Instant("", 10.0, START.wall + 60 * DAY), "the machine was off for long"),
    ],
)
def test_clock_check_sees_a_jump_and_nothing_else(now: Instant, words: str) -> None:
    anchor, problem = observe(anchored(), now, now.wall, MONTH)
    assert words in problem if words else problem == ""
    assert anchor.steady_seconds == (0.0 if words else None)


def test_clock_check_without_an_anchor_uses_the_newest_write() -> None:
    assert observe(None, START, 0.0, MONTH)[1] == ""
    assert observe(None, START, START.wall + 400 * DAY, MONTH)[1] == ""
    assert "nothing was written" in observe(None, START, START.wall - 365 * DAY, MONTH)[1]


def test_clock_check_trusts_the_clock_again_when_it_ran_evenly_for_the_age() -> None:
    anchor, _problem = observe(anchored(), after(1, 365), 0.0, MONTH)
    for days in range(2, 31):
        anchor, problem = observe(anchor, after(days, 365), 0.0, MONTH)
        assert "has not run evenly for 30 days since" in problem
    anchor, problem = observe(anchor, after(31.1, 365), 0.0, MONTH)
    assert problem == ""
    # Another jump starts the time again.
    anchor, problem = observe(anchor, after(32), 0.0, MONTH)
    assert (anchor.steady_seconds, problem) == (0.0, "the clock went back")


@given(st.lists(st.floats(0.001, 40), min_size=1, max_size=20))
def test_clock_check_always_trusts_a_steady_clock(steps: list[float]) -> None:
    anchor, days = anchored(), 0.0
    for step in steps:
        days += step
        anchor, problem = observe(anchor, after(days), 0.0, MONTH)
        assert problem == ""


@given(
    st.lists(st.tuples(st.floats(0.01, 5), st.floats(-400, 400)), min_size=1, max_size=20),
    st.floats(0, 40),
)
def test_clock_check_lets_nothing_count_as_older_than_it_is(
    steps: list[tuple[float, float]], unused_after: float
) -> None:
    """While the clock is trusted, a month by it is a month of true time.

    The allowance is the hour per step that counts as even.
    """
    anchor, days, offset = anchored(), 0.0, 0.0
    stamped = None
    for step, jump in steps:
        days, offset = days + step, offset + jump
        if stamped is None and days >= unused_after:
            stamped = (days, after(days, offset).wall)
        now = after(days, offset)
        anchor, problem = observe(anchor, now, 0.0, MONTH)
        if stamped and not problem and now.wall - stamped[1] > MONTH:
            assert (days - stamped[0]) * DAY >= MONTH - 3600.0 * len(steps) - 1


@given(st.text(max_size=5), st.floats(0, 1e9), st.floats(0, 1e10), st.one_of(st.none(), st.floats(0, 1e9)))
def test_clock_check_anchor_survives_its_file(
    boot: str, boottime: float, wall: float, steady: float | None
) -> None:
    anchor = Anchor(boot, boottime, wall, steady)
    assert decode(encode(anchor)) == anchor


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"schema": 2}', '{"schema": 1, "wall": "x"}'])
def test_clock_check_decodes_a_damaged_anchor_as_none(text: str | None) -> None:
    assert decode(text) is None
