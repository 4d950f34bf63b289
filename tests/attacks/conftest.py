"""Fixtures for the attacks: a converged world, and the outcomes of each group."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from testbed.github.client import AdminClient
from tests._support import hardening_role
from tests.world.conftest import CHECKOUT, WORLD, Play
from tests.world.conftest import play as play  # a fixture

from .campaign import BLOCKED, BY_DESIGN, INSTANCE, NEIGHBOUR, NOT_TRIED, WON, Campaign, Outcome
from .catalogue import groups
from .settings import SETTINGS, Setting

OUTCOMES: dict[tuple[str, str], Outcome] = {}
Outcomes = Callable[[Setting, str], dict[str, Outcome]]
HOST = "laptop-extra"


def root(script: str) -> str:
    """Run a script as root on the laptop, outside of any job; return its output."""
    config = str(CHECKOUT / ".testbed/worlds" / WORLD.name / "ssh_config")
    # Through the standard input: a command line with the script would match its own searches.
    argv = ["ssh", "-F", config, "laptop-extra", shlex.join(["sudo", "bash", "-s"])]
    done = subprocess.run(argv, input=script, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"root's script gave {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


class Settings:
    """The setting that the host has, and the change to another one."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._present: Setting | None = SETTINGS[0]

    def change(self, wanted: Setting) -> None:
        """Bring the host to ``wanted``, unless it has it already.

        A profile comes as a file that hides the one of the role, which has the same name. A change of the
        trust class is a converge.
        """
        if wanted == self._present:
            return
        before, self._present = self._present, None
        root(sandbox(wanted.profile))
        if before is None or wanted.inputs != before.inputs:
            inputs = json.dumps(wanted.inputs)
            outcome = self._play("-l", HOST, "--tags", "agent,github_runner", "-e", inputs)
            assert outcome.status == 0, f"the setting {wanted.name}: {outcome.output[-4000:]}"
        if wanted.trust == SETTINGS[0].trust:
            # A unit gets its sandbox with its next start, and the converge has started JIT runners.
            root(" ".join(["systemctl restart", *UNITS]))
        for unit in UNITS:
            text = root(f"systemctl cat {unit}")
            profiles = re.findall(r"^# Profile: (\w+)$", text, re.M)
            assert profiles == [wanted.profile], text
        self._present = wanted


DEFAULT = SETTINGS[0].profile
UNITS = [f"coldvox-runner@{name}.service" for name in (INSTANCE, NEIGHBOUR, HOST)]


def sandbox(profile: str) -> str:
    """Return root's script that gives ``profile`` to the units of the host."""
    lines = []
    for unit in UNITS:
        folder = f"/run/systemd/system.control/{unit}.d"
        if profile == DEFAULT:
            lines.append(f"rm -rf {folder}")
        else:
            text = shlex.quote(hardening_role.drop_in(profile))
            lines.append(f"mkdir -p {folder} && printf %s {text} >{folder}/50-hardening.conf")
    return "\n".join([*lines, "systemctl daemon-reload"])


@pytest.fixture(scope="session")
def settings(play: Play) -> Iterator[Settings]:
    """Return the changer of settings; the host has those of the inventory afterwards."""
    changer = Settings(play)
    yield changer
    changer.change(SETTINGS[0])


@pytest.fixture(scope="session")
def outcomes_of(settings: Settings) -> Outcomes:
    """Return a function that runs a group under a setting, once."""
    campaign = Campaign(AdminClient(WORLD.emulator_url), root)
    done: dict[tuple[str, str], dict[str, Outcome] | BaseException] = {}

    def outcomes(setting: Setting, group: str) -> dict[str, Outcome]:
        key = (setting.name, group)
        if key not in done:
            try:
                settings.change(setting)
                performed = campaign.run(groups()[group], setting.words)
            except Exception as error:
                done[key] = error
            else:
                done[key] = performed
                OUTCOMES.update({(setting.name, name): outcome for name, outcome in performed.items()})
        result = done[key]
        if isinstance(result, BaseException):
            raise result
        return result

    return outcomes


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print for each setting how many attacks were tried, blocked, and won."""
    for setting in SETTINGS:
        verdicts = Counter(outcome.verdict for (name, _), outcome in OUTCOMES.items() if name == setting.name)
        if not verdicts:
            continue
        tried = verdicts.total() - verdicts[NOT_TRIED]
        terminalreporter.write_line(
            f"attacks ({setting.profile}, {setting.trust}): {tried} tried, {verdicts[BLOCKED]} blocked, "
            f"{verdicts[BY_DESIGN]} won by design (docs/security.md), {verdicts[WON]} won, "
            f"{verdicts[NOT_TRIED]} could not be tried"
        )
