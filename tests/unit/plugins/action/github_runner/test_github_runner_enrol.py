"""``runnerctl enrol``: a host registers a JIT instance for its next job."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from testbed.github.client import AdminClient
from tests._support.installed_agent import Agent
from tests._support.runner_host import TOKEN, RunnerHost

JIT: dict[str, Any] = {"name": "one", "labels": ["fast"], "jit": True}
SYSTEM_LABELS = {"self-hosted", "linux", "x64"}


class Enroller:
    """The host's service: ``runnerctl enrol one`` with the settings of the role."""

    def __init__(self, host: RunnerHost) -> None:
        self.agent = Agent(host.root / "agent")
        self.agent.root.mkdir()
        self.agent.install()
        config = self.agent.root / "config"
        config.mkdir()
        self.token = config / "enrol.token"
        self.token.write_text(f"{TOKEN}\n")
        self._host = host
        self.settings = {
            "url": host.url,
            "archive": str(host.archive),
            "base_dir": str(host.base),
            "unit_dir": str(host.units),
            "replace": "offline",
            "state": "present",
            "instances": [self.instance()],
        }

    def instance(self) -> dict[str, Any]:
        plain = {"default_labels": True, "group": "", "work_dir": "_work", "state": "present"}
        return {**plain, **JIT, "user": self._host.user, "ephemeral": True, "environment": {}, "path": []}

    def __call__(self, *words: str, status: int = 0) -> str:
        (self.agent.root / "config" / "enrol.json").write_text(json.dumps(self.settings))
        done = subprocess.run(
            [self.agent.command, "enrol", "one", "--runners", self._host.base, *words],
            env={**os.environ, "PATH": f"{self._host.root / 'bin'}:{os.environ['PATH']}", "no_proxy": "*"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert TOKEN not in done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def enrol(host: RunnerHost) -> Iterator[Enroller]:
    if os.geteuid() != 0:
        pytest.skip("only root can register instances")
    return Enroller(host)  # type: ignore[return-value]


def finish_a_job(admin: AdminClient, host: RunnerHost) -> None:
    """Let the runner do its job, and its unit end."""
    job = admin.queue_job(["self-hosted", "fast"], "echo done")
    assert admin.wait_for_job(job)["conclusion"] == "success"
    host.wait_for_end("one")


def test_enrol_serves_job_after_job_without_the_controller(
    host: RunnerHost, admin: AdminClient, enrol: Enroller
) -> None:
    host.converge(JIT)
    for _ in range(2):
        finish_a_job(admin, host)
        host.file("one", "_home/planted").touch()
        assert "registered for one more job" in enrol()
        assert not host.file("one", "_home/planted").exists(), "nothing of the former job is left"
    finish_a_job(admin, host)
    assert "registered for one more job" in enrol()
    assert not host.file("one", ".coldvox/jit.env").exists()
    host.wait_for_registration("one")
    again = host.converge(JIT)
    assert again["runners"][0]["outcome"] == "unchanged", "the controller finds its own work"
    assert {label.lower() for label in again["runners"][0]["labels"]} == {*SYSTEM_LABELS, "fast"}
    assert admin.health()["violations"] == 0


def test_enrol_with_debug_shows_what_it_does_and_no_secret(
    host: RunnerHost, admin: AdminClient, enrol: Enroller
) -> None:
    host.converge(JIT)
    finish_a_job(admin, host)
    said = enrol("--debug")  # which fails when it says the token
    assert f"debug: reads {enrol.token}" in said
    assert "debug: connects to ('127.0.0.1', " in said
    assert "debug: runs systemctl start" in said
    assert "ACTIONS_RUNNER_INPUT" not in said, "environments are not shown"
    enrol.token.write_text("ghp_wrong_but_secret")
    host.wait_for_registration("one")
    finish_a_job(admin, host)
    said = enrol("--debug", status=3)
    assert "HTTP 401" in said
    assert "Traceback" in said
    assert "ghp_wrong_but_secret" not in said


def test_one_that_works_or_rests_is_left_alone(host: RunnerHost, admin: AdminClient, enrol: Enroller) -> None:
    host.converge(JIT)
    since = len(admin.audit())
    assert "it runs" in enrol()
    host.converge({**JIT, "state": "drained"})
    since = len(admin.audit())
    assert "is at rest" in enrol()
    enrol.settings["instances"] = []
    assert "is not registered from here" in enrol()
    enrol.settings["instances"] = [enrol.instance()]
    host.converge({**JIT, "state": "absent"})
    since = len(admin.audit())
    assert "is at rest" in enrol()
    assert len(admin.audit()) == since, "GitHub is not asked"


@pytest.mark.parametrize(
    "plant",
    [
        "rm -rf _work && ln -s $PWD/../.. _work",
        "rm -rf _home && ln -s /etc _home",
        "rm -rf _home && touch _home",
        'python3 -c \'import os\nos.chdir("_home")\nfor _ in range(3000): os.mkdir("d"); os.chdir("d")\'',
        """echo '{"agentId": Infinity}' > .runner""",
        "mkdir .runner_migrated",
    ],
)
def test_enrol_ignores_files_planted_by_a_job(
    host: RunnerHost, admin: AdminClient, enrol: Enroller, plant: str
) -> None:
    host.converge(JIT)
    finish_a_job(admin, host)
    kept = host.base / "kept"
    kept.touch()
    account = pwd.getpwnam(host.user)
    subprocess.run(
        ["sh", "-c", plant],
        cwd=host.base / "one",
        check=True,
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
    )
    assert "registered for one more job" in enrol()
    assert kept.exists()
    assert host.file("one", "_home").is_dir()
    assert not list(host.file("one", "_home").iterdir())


def test_enrol_leaves_an_untried_version_to_the_controller(
    host: RunnerHost, admin: AdminClient, enrol: Enroller
) -> None:
    host.converge(JIT)
    finish_a_job(admin, host)
    enrol.settings["archive"] = str(host.publish("cd" * 32, version="2.999.0"))
    assert "registered for one more job" in enrol()
    record = json.loads(host.file("one", ".coldvox/tree.json").read_text())
    assert record["tree"] == host.archive.name


def test_enrol_obeys_a_drain_meanwhile(host: RunnerHost, admin: AdminClient, enrol: Enroller) -> None:
    host.converge(JIT)
    finish_a_job(admin, host)
    unit = "coldvox-runner@one.service"
    subprocess.run([str(host.root / "bin" / "systemctl"), "disable", unit], check=True)
    assert "is at rest" in enrol()
    assert not (host.systemctl / f"{unit}.enabled").exists()


def test_enrol_recovers_from_a_refusal_at_the_next_try(
    host: RunnerHost, admin: AdminClient, enrol: Enroller
) -> None:
    host.converge(JIT)
    finish_a_job(admin, host)
    admin.set_faults({"path_regex": "generate-jitconfig", "status": 403, "times": 1})
    assert "refused to make a one-job runner 'one'" in enrol(status=3)
    assert "registered for one more job" in enrol()


def test_enrol_repeats_a_registration_with_a_lost_configuration(
    host: RunnerHost, admin: AdminClient, enrol: Enroller
) -> None:
    host.converge(JIT)
    finish_a_job(admin, host)
    (host.systemctl / "broken").touch()
    enrol(status=3)
    host.file("one", ".coldvox/jit.env").unlink(missing_ok=True)
    (host.systemctl / "broken").unlink()
    assert "registered for one more job" in enrol()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instances": None}, "does not say how to register runners"),
        ({"url": "ftp://x"}, "is not an http(s) address"),
        ({"archive": "/nowhere/x"}, "are incomplete; converge"),
    ],
)
def test_enrol_refuses_bad_input_in_one_sentence(
    host: RunnerHost, admin: AdminClient, enrol: Enroller, change: dict[str, Any], message: str
) -> None:
    host.converge(JIT)
    finish_a_job(admin, host)
    enrol.settings.update(change)
    output = enrol(status=3)
    assert message in output
    assert "Traceback" not in output
    assert len(output.splitlines()) == 1


def test_enrol_explains_a_missing_token(host: RunnerHost, enrol: Enroller) -> None:
    host.converge(JIT)
    enrol.token.unlink()
    assert "github_runner_enrol_token" in enrol(status=3)
