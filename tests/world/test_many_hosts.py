"""Forty runners on ten hosts: all come online, and a second run changes nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from testbed.github.client import AdminClient

from .conftest import CHECKOUT, WORLD, Play

HOSTS, RUNNERS_PER_HOST = 10, 4
FIRST = "runner-01"
INVENTORY = ("-i", str(CHECKOUT / "tests/world/many_hosts.yml"), "-l", "runner-*", "--forks", str(HOSTS))
# The time depends on the machine that starts and converges ten hosts.
pytestmark = pytest.mark.timeout(1200)
MACHINE = "hardening,system_packages,agent"
ROLES = f"{MACHINE},github_runner"


def up(*options: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "testbed", "up", "--world", WORLD.name, *options], cwd=CHECKOUT, check=True
    )


@pytest.fixture(autouse=True)
def crowd(play: Play) -> Iterator[None]:
    """Start ten more hosts: one converges up to its pool, the others are copies of it."""
    up("--host", FIRST, "--hosts", "1")
    machine = play(*INVENTORY, "-l", FIRST, "--tags", MACHINE)
    assert machine.status == 0, machine.output[-4000:]
    up("--hosts", str(HOSTS), "--like", FIRST)
    yield
    names = [WORLD.container(f"runner-{number:02d}") for number in range(1, HOSTS + 1)]
    subprocess.run(["docker", "rm", "--force", "--volumes", *names], check=True, capture_output=True)


def controller_calls(github: AdminClient, since: int) -> list[str]:
    """Return the requests of the collection; those of runners have another agent."""
    entries = github.audit()[since:]
    return [f"{entry['method']} {entry['path']}" for entry in entries if entry["user_agent"] == "coldvox-ci"]


def test_runner_pool_of_forty_on_ten_hosts_converges(play: Play, github: AdminClient) -> None:
    first = play(*INVENTORY, "--tags", ROLES)
    assert first.status == 0, first.output[-4000:]
    assert len(first.changed) == HOSTS
    done = len(github.audit())

    second = play(*INVENTORY, "--tags", "github_runner")
    assert second.status == 0, second.output[-4000:]
    assert list(second.changed.values()) == [0] * HOSTS
    calls = controller_calls(github, done)
    # A host's whole pool takes a single list call, and so does the check before the first change.
    assert len(calls) == 2 * HOSTS
    assert all(call.startswith("GET") for call in calls)
