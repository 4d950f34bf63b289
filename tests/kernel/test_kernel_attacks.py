"""Attacks as real jobs, on a host with a kernel and a polkit of its own."""

from __future__ import annotations

import pytest

from tests.attacks import catalogue
from tests.attacks.campaign import BLOCKED, Outcome
from tests.attacks.catalogue import Attack

from .conftest import Attacks

#: User-Mode Linux has no counters of performance, so not even root wins.
IMPOSSIBLE = ("perf_of_all_processes",)
#: The attacks on kernel, systemd, logind and polkit. The others do the same in a container.
CHOSEN = [
    attack
    for attack in catalogue.attacks()
    if attack.group in ("way_out", "lingering") and attack.name not in IMPOSSIBLE
]


@pytest.fixture(scope="session")
def outcomes(attacks: Attacks) -> dict[str, Outcome]:
    """Return what became of all attacks, which one campaign tries."""
    return attacks(CHOSEN)


@pytest.mark.parametrize("attack", CHOSEN, ids=lambda attack: attack.name)
def test_attack(attack: Attack, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[attack.name]
    assert outcome.verdict == BLOCKED, f"{outcome.verdict}: {outcome.reason}\n{outcome.output[-6000:]}"
