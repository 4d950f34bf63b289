"""Each attack as a real job on a converged host: blocked, or won by design."""

from __future__ import annotations

import pytest

from .campaign import BLOCKED, BY_DESIGN
from .catalogue import Attack
from .conftest import Outcomes
from .settings import Setting, tried


@pytest.mark.parametrize(("setting", "attack"), tried(), ids=lambda each: each.name)
def test_attack(setting: Setting, attack: Attack, outcomes_of: Outcomes) -> None:
    outcome = outcomes_of(setting, attack.group)[attack.name]
    expected = BY_DESIGN if attack.wins_by_design(setting.words) else BLOCKED
    assert outcome.verdict == expected, f"{outcome.verdict}: {outcome.reason}\n{outcome.output[-6000:]}"
