"""Each attack as a real job on a converged host: blocked, or won by design."""

from __future__ import annotations

import pytest

from .campaign import BLOCKED, BY_DESIGN
from .catalogue import Attack, attacks
from .conftest import Outcomes


@pytest.mark.parametrize("attack", attacks(), ids=lambda attack: attack.name)
def test_attack(attack: Attack, outcomes_of: Outcomes) -> None:
    outcome = outcomes_of(attack.group)[attack.name]
    expected = BY_DESIGN if attack.by_design else BLOCKED
    assert outcome.verdict == expected, f"{outcome.verdict}: {outcome.reason}\n{outcome.output[-6000:]}"
