from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.sampler import CALM_SAMPLES, Episodes
from hypothesis import given
from hypothesis import strategies as st

MB = 1024 * 1024


def told(samples: list[dict[str, Any]]) -> list[tuple[int, bool]]:
    """Return at which sample something was said, and whether it began."""
    episodes = Episodes()
    return [(at, message.begins) for at, sample in enumerate(samples) for message in episodes.step(sample)]


@pytest.mark.parametrize(
    ("sample", "text"),
    [
        ({"load_1m": 8.0}, None),
        ({"load_1m": 8.01}, "load over one minute is 8.01, above 8"),
        ({"memory_used_bytes": 25000 * MB}, None),
        ({"memory_used_bytes": 25001 * MB}, "memory in use is 25001 MB, above 25000 MB"),
        ({"load_1m": None, "memory_used_bytes": None}, None),
        ({}, None),
    ],
)
def test_limits_are_strict(sample: dict[str, Any], text: str | None) -> None:
    assert [message.text for message in Episodes().step(sample)] == ([text] if text else [])


def test_an_episode_is_told_at_its_beginning_and_at_its_end() -> None:
    samples = [{"load_1m": 9.0}] * 100 + [{"load_1m": 1.0}] * 100
    assert told(samples) == [(0, True), (99 + CALM_SAMPLES, False)]


def test_a_load_that_swings_is_one_episode() -> None:
    assert told([{"load_1m": 9.0}, {"load_1m": 7.0}] * 500) == [(0, True)]


def test_what_is_not_known_ends_nothing() -> None:
    assert told([{"load_1m": 9.0}, *[{"load_1m": None}] * 50, {"load_1m": 9.0}]) == [(0, True)]


@given(st.lists(st.none() | st.floats(0, 20), max_size=200))
def test_beginnings_and_ends_take_turns(loads: list[float | None]) -> None:
    kinds = [begins for _at, begins in told([{"load_1m": load} for load in loads])]
    assert kinds == [number % 2 == 0 for number in range(len(kinds))]
