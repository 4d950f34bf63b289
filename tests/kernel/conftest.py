"""A laptop with a kernel of its own: bare, then with the roles and its runners."""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from testbed.github.client import AdminClient
from testbed.paths import testbed_paths
from testbed.world import WORLDS
from tests.attacks import catalogue
from tests.attacks.campaign import Campaign, Outcome
from tests.attacks.catalogue import Attack
from tests.attacks.settings import SETTINGS

CHECKOUT = Path(__file__).resolve().parents[2]
WORLD = WORLDS["kernel"]
INVENTORIES = ("inventories/production", "inventories/sandbox", f"molecule/inventory/{WORLD.name}")
#: The other roles do nothing that a container would not show.
ROLES = "hardening,agent,github_runner"
#: A job under User-Mode Linux may need several times as long as in a container.
JOB_SECONDS = 240
#: How much longer an attack may take than in a container.
SLOWNESS = 3
Attacks = Callable[[Sequence[Attack]], dict[str, Outcome]]


class Laptop:
    """The running host, and the GitHub emulator that sends it jobs."""

    def __init__(self) -> None:
        config = testbed_paths().world(WORLD.name) / "ssh_config"
        self._ssh = ["ssh", "-F", str(config), "laptop-extra", shlex.join(["sudo", "bash", "-s"])]
        self.github = AdminClient(WORLD.emulator_url)

    def root(self, script: str, *, check: bool = True) -> str:
        """Run a script as root on the host and return its output."""
        done = subprocess.run(
            self._ssh, input=script, capture_output=True, text=True, check=False, timeout=300
        )
        output = done.stdout + done.stderr
        assert not check or done.returncode == 0, f"{script!r} gave {done.returncode}: {output}"
        return output

    def job(self, labels: list[str], script: str) -> str:
        """Run a job and return its log; fail the test unless the job succeeds."""
        number = self.github.queue_job(labels, script)
        done: dict[str, Any] = self.github.wait_for_job(number, timeout_seconds=JOB_SECONDS)
        assert done["conclusion"] == "success", done["log"]
        return str(done["log"])


@pytest.fixture(scope="session")
def bare_laptop() -> Iterator[Laptop]:
    """Boot the host; it has no file of ours."""
    command = [sys.executable, "-m", "testbed"]
    subprocess.run([*command, "up", "--fresh", "--world", WORLD.name], cwd=CHECKOUT, check=True)
    yield Laptop()
    subprocess.run([*command, "down", "--world", WORLD.name], cwd=CHECKOUT, check=True)


@pytest.fixture(scope="session")
def laptop(bare_laptop: Laptop) -> Laptop:
    """Return the host after the roles, with its runners."""
    argv = [str(Path(sys.executable).with_name("ansible-playbook")), "site.yml", "--tags", ROLES]
    argv += ["--limit", "laptop-extra", *(word for path in INVENTORIES for word in ("-i", path))]
    environment = {"ANSIBLE_TIMEOUT": "60", **os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")}
    done = subprocess.run(
        argv, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-1000:]}"
    return bare_laptop


@pytest.fixture(scope="session")
def attacks(laptop: Laptop) -> Attacks:
    """Return a function that tries attacks together, with their outcomes by name."""
    campaign = Campaign(laptop.github, laptop.root, JOB_SECONDS)

    def perform(chosen: Sequence[Attack]) -> dict[str, Outcome]:
        slow = [dataclasses.replace(each, seconds=each.seconds * SLOWNESS) for each in chosen]
        return campaign.run(slow, SETTINGS[0].words)

    return perform


def named(name: str) -> Attack:
    """Return one attack of the catalogue."""
    return next(attack for attack in catalogue.attacks() if attack.name == name)
