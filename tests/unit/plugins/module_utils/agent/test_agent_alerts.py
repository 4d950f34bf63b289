from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.sampler import CALM_SAMPLES, Alerts
from hypothesis import given
from hypothesis import strategies as st

MB = 1024 * 1024


def messages(samples: list[dict[str, Any]]) -> list[tuple[int, bool]]:
    """Return the number of each sample with a message, and whether an alert began."""
    alerts = Alerts()
    return [(at, message.begins) for at, sample in enumerate(samples) for message in alerts.step(sample)]


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
def test_alerts_have_strict_limits(sample: dict[str, Any], text: str | None) -> None:
    assert [message.text for message in Alerts().step(sample)] == ([text] if text else [])


def test_alerts_are_written_at_the_beginning_and_at_the_end() -> None:
    samples = [{"load_1m": 9.0}] * 100 + [{"load_1m": 1.0}] * 100
    assert messages(samples) == [(0, True), (99 + CALM_SAMPLES, False)]


def test_alerts_of_a_load_that_swings_are_one() -> None:
    assert messages([{"load_1m": 9.0}, {"load_1m": 7.0}] * 500) == [(0, True)]


def test_alerts_do_not_end_by_an_unknown_value() -> None:
    assert messages([{"load_1m": 9.0}, *[{"load_1m": None}] * 50, {"load_1m": 9.0}]) == [(0, True)]


@given(st.lists(st.none() | st.floats(0, 20), max_size=200))
def test_alerts_begin_and_end_in_turn(loads: list[float | None]) -> None:
    kinds = [begins for _at, begins in messages([{"load_1m": load} for load in loads])]
    assert kinds == [number % 2 == 0 for number in range(len(kinds))]
