"""Fixtures of the testinfra tests of every scenario.

The tests run as the CI user unless they name another one.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

CHECKOUT = Path(__file__).resolve().parents[1]
# For what the scenarios share with the other tests.
sys.path.insert(0, str(CHECKOUT))
WORLD = os.environ.get("COLDVOX_WORLD") or "test"
INVENTORIES = ("inventories/production", "inventories/sandbox", f"molecule/inventory/{WORLD}")
#: The links that jobs use, as group_vars of inventories/production place them.
MODELS = "/usr/local/share/vosk-models"


@pytest.fixture(scope="session")
def all_hostvars() -> dict[str, dict[str, Any]]:
    """Return the inventory of the scenarios by host; templates are not rendered."""
    sources = [part for path in INVENTORIES for part in ("-i", str(CHECKOUT / path))]
    command = [str(Path(sys.executable).parent / "ansible-inventory"), *sources, "--list"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    hostvars: dict[str, dict[str, Any]] = json.loads(done.stdout)["_meta"]["hostvars"]
    return hostvars


@pytest.fixture
def name(host: Host) -> str:
    """Return the inventory name of the host under test."""
    return str(host.backend.get_hostname())


@pytest.fixture
def hostvars(all_hostvars: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the inventory variables of the host under test."""
    return all_hostvars[name]


@pytest.fixture
def as_user(host: Host) -> Callable[..., str]:
    """Return a function that runs a script as a CI user and returns its output.

    The script starts with an empty environment.
    """

    def run(script: str, user: str = "ci") -> str:
        clean = "env -i PATH=/usr/local/bin:/usr/bin:/bin"
        home = 'HOME="$(mktemp -d)"'
        done = host.run(
            f"cd / && runuser -u {user} -- {clean} sh -c {shlex.quote(f'export {home}; cd $HOME; {script}')}"
        )
        assert done.rc == 0, f"{script!r} as {user} gave {done.rc}: {done.stdout}{done.stderr}"
        return str(done.stdout)

    return run


@pytest.fixture
def refused(host: Host) -> Callable[..., None]:
    """Return a function that asserts that a script of a CI user fails."""

    def run(script: str, user: str = "ci") -> None:
        done = host.run(f"cd / && runuser -u {user} -- sh -c {shlex.quote(script)}")
        assert done.rc != 0, f"{user} was able to run {script!r}: {done.stdout}"

    return run


class GitHub:
    """The testbed's GitHub, as the controller reaches it."""

    def __init__(self, hostvars: dict[str, Any]) -> None:
        self.origin = f"http://{hostvars['sandbox_gateway']}:8080"
        self.api = f"{self.origin}/api/v3/repos/Coldaine/ColdVox"
        self.token = hostvars["github_runner_token"]

    def ask(self, url: str, body: dict[str, Any] | None = None) -> Any:
        """GET the URL, or POST ``body`` to it, and return the JSON answer."""
        request = urllib.request.Request(
            url,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def runners(self) -> dict[str, dict[str, Any]]:
        """Return every registered runner by name."""
        answer = self.ask(f"{self.api}/actions/runners?per_page=100")
        return {runner["name"]: runner for runner in answer["runners"]}

    def run_job(self, runs_on: list[str], script: str, timeout_seconds: float = 120) -> dict[str, Any]:
        """Queue a job, wait until it is over, and return it with its log."""
        return self.wait_for_job(self.queue_job(runs_on, script), timeout_seconds)

    def queue_job(self, runs_on: list[str], script: str) -> int:
        """Queue a job and return its number."""
        job = {"repository": "Coldaine/ColdVox", "name": "test", "runs_on": runs_on, "script": script}
        return int(self.ask(f"{self.origin}/_testbed/jobs", job)["id"])

    def wait_for_job(
        self, number: int, timeout_seconds: float = 120, status: str = "completed"
    ) -> dict[str, Any]:
        """Wait until a job has the status, and return it with its log."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            state: dict[str, Any] = self.ask(f"{self.origin}/_testbed/jobs/{number}")
            if state["status"] == status or time.monotonic() > deadline:
                return state
            time.sleep(0.5)


@pytest.fixture
def github(hostvars: dict[str, Any]) -> GitHub:
    """Return the testbed's GitHub with the inventory's credential."""
    return GitHub(hostvars)
