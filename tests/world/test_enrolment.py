"""A JIT instance that serves job after job without the controller.

No job can read the token that it uses.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from testbed.github.client import AdminClient

from .conftest import Play

HOST, NAME = "laptop-extra", "laptop-extra-once"
TOKEN = "sandbox-admin-token"
SECRETS = "/etc/coldvox-ci/enrol.token /etc/coldvox-ci/enrol.json"
PATHS = f"{SECRETS} /etc/systemd/system/coldvox-ci-enrol@.service"
LOOK = f"cat {SECRETS} || true; touch ~/left; echo looked"
Shell = Callable[..., str]


def converge(play: Play, state: str, token: str, **more: str) -> dict[str, int]:
    variables = {
        "github_runner_enrol_token": token,
        "github_runner_instances": [{"name": NAME, "labels": ["once"], "jit": True, "state": state}],
        **more,
    }
    outcome = play("-l", HOST, "--tags", "github_runner", "-e", json.dumps(variables))
    assert outcome.status == 0, outcome.output[-4000:]
    assert TOKEN not in outcome.output
    return outcome.changed


@pytest.fixture
def once(play: Play) -> Iterator[None]:
    """Add an instance to the laptop's own, and remove it afterwards."""
    assert converge(play, "present", TOKEN) == {HOST: 3}
    yield
    converge(play, "absent", "")
    restored = play("-l", HOST, "--tags", "github_runner")
    assert restored.status == 0, restored.output[-4000:]


@pytest.mark.usefixtures("once")
def test_enrolment_serves_job_after_job(play: Play, shell: Shell, github: AdminClient) -> None:
    minted = [entry for entry in github.audit() if entry["path"].endswith("registration-token")]
    jobs = [github.queue_job(["once"], LOOK) for _ in range(3)]
    done = [github.wait_for_job(job, timeout_seconds=120) for job in jobs]
    assert [job["conclusion"] for job in done] == ["success"] * 3
    for job in done:
        assert "looked" in job["log"]
        assert TOKEN not in job["log"]
        assert job["log"].count("Permission denied") >= 2
    home = f"/var/lib/actions-runner/{NAME}/_home"
    assert shell(f"until systemctl is-active -q coldvox-runner@{NAME}; do sleep 1; done; ls {home}") == ""
    assert converge(play, "present", TOKEN) == {HOST: 0}, "the controller finds its own work"
    assert shell("systemctl --failed --no-legend") == ""
    after = [entry for entry in github.audit() if entry["path"].endswith("registration-token")]
    assert after == minted


@pytest.mark.usefixtures("once")
def test_enrolment_drains_and_resumes_with_the_pool(play: Play, shell: Shell) -> None:
    converge(play, "present", TOKEN, github_runner_state="drained")
    shell(f"systemctl start coldvox-ci-enrol@{NAME}")
    look = f"systemctl is-active coldvox-runner@{NAME} coldvox-ci-enrol@{NAME} || true"
    assert shell(look).split() == ["inactive", "inactive"]
    converge(play, "present", TOKEN)
    assert shell(look).split() == ["active", "inactive"]


def test_enrolment_removal_leaves_nothing(shell: Shell) -> None:
    assert shell(f"ls {PATHS} 2>/dev/null || true") == ""
