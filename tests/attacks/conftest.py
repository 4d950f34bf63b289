"""Fixtures for the attacks: a converged world, and the outcomes of each group."""

from __future__ import annotations

import shlex
import subprocess
from collections import Counter
from collections.abc import Callable

import pytest

from testbed.github.client import AdminClient
from tests.world.conftest import CHECKOUT, WORLD

from .campaign import BLOCKED, BY_DESIGN, NOT_TRIED, WON, Campaign, Outcome
from .catalogue import groups

OUTCOMES: dict[str, Outcome] = {}
Outcomes = Callable[[str], dict[str, Outcome]]


def root(script: str) -> str:
    """Run a script as root on the laptop, outside of any job; return its output."""
    config = str(CHECKOUT / ".testbed/worlds" / WORLD.name / "ssh_config")
    # Through the standard input: a command line with the script would match its own searches.
    argv = ["ssh", "-F", config, "laptop-extra", shlex.join(["sudo", "bash", "-s"])]
    done = subprocess.run(argv, input=script, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"root's script gave {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def outcomes_of() -> Outcomes:
    """Return a function that runs a group's attacks once and returns their outcomes."""
    campaign = Campaign(AdminClient(WORLD.emulator_url), root)
    done: dict[str, dict[str, Outcome] | BaseException] = {}

    def outcomes(group: str) -> dict[str, Outcome]:
        if group not in done:
            try:
                performed = campaign.run(groups()[group])
            except Exception as error:
                done[group] = error
            else:
                done[group] = performed
                OUTCOMES.update(performed)
        result = done[group]
        if isinstance(result, BaseException):
            raise result
        return result

    return outcomes


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many attacks were tried, were blocked, and won by design."""
    if not OUTCOMES:
        return
    verdicts = Counter(outcome.verdict for outcome in OUTCOMES.values())
    tried = len(OUTCOMES) - verdicts[NOT_TRIED]
    terminalreporter.write_line(
        f"attacks: {tried} tried, {verdicts[BLOCKED]} blocked, {verdicts[BY_DESIGN]} won by design "
        f"(docs/security.md), {verdicts[WON]} won, {verdicts[NOT_TRIED]} could not be tried"
    )
