"""Run the plays in docs/examples against this machine and the emulator."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.github.seed import ADMIN_TOKEN
from testbed.github.server import Running, emulator
from testbed.github.state import Job, Label, Runner, Scope
from tests._support.ansible_process import run_ansible
from tests._support.fault_server import FaultServer, fault_server
from tests._support.store_models import models

CHECKOUT = Path(__file__).resolve().parents[3]
EXAMPLES = CHECKOUT / "docs" / "examples"
NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
INVENTORY = """
runners:
  hosts:
    here:
  vars:
    ansible_connection: local
    ansible_become: false
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


@pytest.fixture
def github(description: Path) -> Iterator[Running]:
    with emulator(description) as running:
        yield running


class Play:
    """Runs an example; the host ``here`` of its inventory is this machine."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.store = home / "store"
        (home / "hosts.yml").write_text(INVENTORY, encoding="utf-8")
        #: False starts ansible-playbook as from the shell.
        self.warm = True

    def __call__(self, name: str, *, status: int = 0, **variables: Any) -> str:
        done = run_ansible(
            *("ansible-playbook", EXAMPLES / name, "-i", "hosts.yml"),
            *("-e", json.dumps({"coldvox_store_dir": str(self.store), **variables})),
            cwd=self.home,
            warm=self.warm,
            timeout=240,
        )
        said = done.stdout + done.stderr
        assert done.returncode == status, said
        assert "[WARNING]" not in said
        assert "[DEPRECATION" not in said
        return said

    def github(self, name: str, running: Running, *, status: int = 0, **variables: Any) -> str:
        """Run an example that asks ``running`` for GitHub's answers."""
        tokens = dict.fromkeys(("github_runner_token", "github_variables_token"), ADMIN_TOKEN)
        url = f"{running.url}/Coldaine/ColdVox"
        return self(name, status=status, github_runner_url=url, **tokens, **variables)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    return Play(tmp_path)


def test_dispatch_example_sets_the_variable(play: Play, github: Running) -> None:
    play.warm = False
    said = play.github("dispatch.yml", github)
    assert '"recommendation"' in said
    variables = github.emulator.state.variables[Scope("repos", "Coldaine/ColdVox")]
    assert json.loads(variables["CI_RUNS_ON"].value) in (["self-hosted", "Linux"], ["ubuntu-latest"])


def test_audit_labels_example_refuses_a_label_without_a_runner(play: Play, github: Running) -> None:
    labels = [Label(number, name, read_only=True) for number, name in enumerate(("self-hosted", "nobara"))]
    world = github.emulator.state
    world.runners[1] = Runner(
        id=1, scope=Scope("repos", "Coldaine/ColdVox"), name="a", group_id=1, labels=labels, version="2.336.0"
    )
    workflows = play.home / "workflows"
    workflows.mkdir()
    jobs: dict[str, Any] = {
        "build": {"runs-on": ["self-hosted", "nobara"]},
        "docs": {"runs-on": "ubuntu-24.04"},
    }
    (workflows / "ci.yml").write_text(yaml.safe_dump({"on": "push", "jobs": jobs}), encoding="utf-8")
    assert "failed=0" in play.github("audit_labels.yml", github, workflows_dir=str(workflows))
    jobs["arm"] = {"runs-on": ["self-hosted", "ARM64"]}
    (workflows / "ci.yml").write_text(yaml.safe_dump({"on": "push", "jobs": jobs}), encoding="utf-8")
    said = play.github("audit_labels.yml", github, workflows_dir=str(workflows), status=2)
    assert "No runner has all labels of the job arm: self-hosted, ARM64." in said


def test_waiting_jobs_example_shows_the_longest_first(play: Play, github: Running) -> None:
    for number, waited in enumerate((4, 190), start=1):
        github.emulator.state.jobs[number] = Job(
            number,
            10,
            "Coldaine/ColdVox",
            name=f"job-{number}",
            runs_on=["self-hosted"],
            script="true",
            created_at=NOON,
            status="completed",
            conclusion="success",
            started_at=NOON + timedelta(seconds=waited),
            completed_at=NOON + timedelta(seconds=500),
            runner_name="laptop",
            runner_group_id=1,
        )
    said = play.github("waiting_jobs.yml", github)
    assert said.index("job-2 waited 190.0 s.") < said.index("job-1 waited 4.0 s.")


def test_lease_example_gives_the_lease_back(play: Play, server: FaultServer) -> None:
    models(server, play.store, 1)
    for _ in range(2):
        assert '"toolchains": ' in play("lease.yml")


def test_store_example_shows_keys_and_accounts(play: Play, server: FaultServer) -> None:
    (model,) = models(server, play.store, 1)
    said = play("store.yml")
    assert f"m0/{model.sha256[:16]}/linux/" in said
    assert "ci-laptop" in said


def test_example_plays_use_what_no_role_uses() -> None:
    plugins = {
        path.stem
        for kind in ("modules", "filter", "lookup")
        for path in (CHECKOUT / "plugins" / kind).glob("*.py")
    }
    plays = [
        *EXAMPLES.glob("*.yml"),
        *(CHECKOUT / "playbooks").glob("*.yml"),
        # Not meta, which only describes.
        *(path for path in (CHECKOUT / "roles").glob("*/[!m]*/**/*") if path.suffix in (".yml", ".j2")),
    ]
    text = "\n".join(path.read_text(encoding="utf-8") for path in plays)
    assert {name for name in plugins if not re.search(rf"coldvox\.ci\.{name}\b", text)} == set()
