"""What the properties of a unit mean."""

from __future__ import annotations

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.host.systemd import Unit


@pytest.mark.parametrize(
    ("sub_state", "result", "failing"),
    [
        ("running", "success", False),
        ("auto-restart", "success", False),  # a runner between two jobs
        ("auto-restart", "exit-code", True),
        ("auto-restart-queued", "signal", True),
        ("start-pre", "exit-code", False),
        ("dead", "exit-code", False),
    ],
)
def test_failing_is_a_unit_that_waits_after_an_error(sub_state: str, result: str, failing: bool) -> None:
    """A runner that a job had broken ended with 126 for ever, and was "active"."""
    unit = Unit(ActiveState="activating", SubState=sub_state, Result=result)
    assert unit.failing is failing
    assert unit.active
