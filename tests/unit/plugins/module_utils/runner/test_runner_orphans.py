"""Verdicts about registrations that the inventory no longer names, as a table."""

from __future__ import annotations

from typing import Optional

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.runner.orphans import Unlisted, Verdict, judge


@pytest.mark.parametrize(
    ("noted", "registered_id", "online", "verdict"),
    [
        (False, 7, False, Verdict.NOTE),
        (True, 7, False, Verdict.REMOVE),
        (False, 7, True, Verdict.KEEP),
        (True, 7, True, Verdict.CLEAR),
        (True, None, False, Verdict.FORGET),
        (True, 8, False, Verdict.FORGET),
        (False, 8, True, Verdict.FORGET),
    ],
)
def test_judge_removes_in_two_passes(
    noted: bool, registered_id: Optional[int], online: bool, verdict: Verdict
) -> None:
    assert judge(Unlisted("one", 7, noted), registered_id, online=online) is verdict
