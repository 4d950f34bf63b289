"""``runnerctl job`` as the hooks of a job call it: a process of the job's user, in the job's environment."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.cli.job import add_commands, hook_call
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import Layout
from ansible_collections.coldvox.ci.plugins.module_utils.store.locks import Locks

from tests._support.fault_server import install, model_zip, sha256, wanted
from tests._support.installed_agent import PYTHON, Agent, first_line

MODEL = model_zip()


class Instance:
    """A runner instance ``one`` with a job at work, as its hooks find it."""

    def __init__(self, agent: Agent, user: int | None) -> None:
        self.agent, self.user = agent, user
        self.work = agent.root / "one" / "_work"
        self.workspace = self.work / "b" / "b"
        self.temp = self.work / "_temp"
        self.spool = agent.root / "run" / "jobs" / "one"
        self.commands = self.temp / "_runner_file_commands"
        self.event = self.temp / "_github_workflow" / "event.json"
        for directory in (self.workspace, self.commands, self.event.parent, self.spool):
            directory.mkdir(parents=True)
        (self.commands / "set_env_1").touch()
        (agent.root / "config").mkdir()
        self.own()

    def own(self) -> None:
        """Give all of it to the job's user."""
        if self.user is not None:
            for top in (self.work.parent, self.spool):
                subprocess.run(["chown", "-R", f"{self.user}:{self.user}", top], check=True)

    def policy(self, **settings: Any) -> None:
        (self.agent.root / "config" / "hooks.json").write_text(json.dumps(settings))

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "GITHUB_RUN_ID": "7",
            "GITHUB_RUN_ATTEMPT": "2",
            "GITHUB_JOB": "build",
            "GITHUB_WORKFLOW": "ci",
            "GITHUB_REPOSITORY": "a/b",
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_EVENT_PATH": str(self.event),
            "GITHUB_ENV": str(self.commands / "set_env_1"),
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_NAME": "one",
            "RUNNER_TEMP": str(self.temp),
            **more,
        }

    def call(self, word: str, status: int = 0, **more: str) -> str:
        """Run the hook's command in the workspace; return what it says."""
        done = subprocess.run(
            [self.agent.command, "job", word],
            env=self.environment(**more),
            cwd=self.workspace,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **self.agent.identity(self.user),
        )
        assert done.returncode == status, f"{word} gave {done.returncode}: {done.stdout}{done.stderr}"
        assert done.stderr == ""
        return str(done.stdout)

    def records(self) -> dict[str, dict[str, Any]]:
        """The records of the spool by event."""
        return {path.name.split(".")[-2]: json.loads(path.read_text()) for path in self.spool.iterdir()}


@pytest.fixture
def instance(agent: Agent, user: int | None) -> Instance:
    return Instance(agent, user)


def test_a_job_is_recorded_at_both_ends(instance: Instance) -> None:
    assert instance.call("started") == ""
    assert instance.call("completed") == ""
    names = sorted(path.name for path in instance.spool.iterdir())
    assert [name.split("-")[:3] for name in names] == [["7", "2", "build"]] * 2
    assert names[0].replace(".completed.", ".started.") == names[1], "one number for both"
    records = instance.records()
    for event in ("started", "completed"):
        expected: dict[str, Any] = {
            "event": event,
            "instance": "one",
            "repository": "a/b",
            "workflow": "ci",
            "job": "build",
        }
        expected |= {"run_id": 7, "run_attempt": 2}
        assert {key: records[event][key] for key in expected} == expected
        assert "note" not in records[event]
    assert records["started"]["at"] <= records["completed"]["at"]


def test_the_next_job_finds_nothing_of_this_one(instance: Instance, agent: Agent) -> None:
    instance.call("started")
    outside = agent.root / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    (instance.workspace / "target").mkdir()
    (instance.workspace / "target" / "built").write_bytes(b"x" * 100_000)
    (instance.workspace / "link").symlink_to(outside)
    (instance.temp / "left").write_text("x")
    (instance.work / "_tool").mkdir()
    instance.own()
    instance.call("completed")
    assert list(instance.workspace.iterdir()) == []
    assert {path.name for path in instance.temp.iterdir()} == {"_runner_file_commands", "_github_workflow"}
    assert (instance.work / "_tool").is_dir(), "tools are for the next job as well"
    assert list((instance.work / "_coldvox_trash").iterdir()) == []
    assert (outside / "kept").exists()
    assert instance.records()["completed"]["workspace_bytes_freed"] >= 100_000


def test_a_host_may_keep_workspaces(instance: Instance) -> None:
    instance.policy(clean_workspace=False)
    (instance.workspace / "file").touch()
    instance.call("completed")
    assert (instance.workspace / "file").exists()
    assert instance.records()["completed"]["workspace_bytes_freed"] is None


@pytest.mark.parametrize("place", ["/", "/etc", "", "WORK", "WORK/b", "WORK/b/.."])
def test_no_other_directory_is_taken_for_the_workspace(instance: Instance, place: str) -> None:
    (instance.workspace / "file").touch()
    said = instance.call("completed", GITHUB_WORKSPACE=place.replace("WORK", str(instance.work)))
    assert said.startswith("::warning title=coldvox.ci::the workspace ")
    assert (instance.workspace / "file").exists()
    assert "is not cleaned" in instance.records()["completed"]["note"]


@pytest.fixture
def stocked(instance: Instance, agent: Agent) -> Instance:
    """The instance beside a store with two models and something else."""
    (agent.root / "m.zip").write_bytes(MODEL)
    url = f"file://{agent.root}/m.zip"
    kinds = {"m": "model", "n": "model", "tool": "other"}
    install(
        agent.store,
        *(wanted(name, url, MODEL, strip_components=1, kind=kind) for name, kind in kinds.items()),
    )
    return instance


@pytest.mark.parametrize(
    ("models", "linked"), [(None, {"m", "n"}), (["n", "tool"], {"n", "tool"}), ([], set())]
)
def test_a_job_finds_its_models(stocked: Instance, models: list[str] | None, linked: set[str]) -> None:
    stocked.policy(models=models)
    assert stocked.call("started") == ""
    place = stocked.temp / "models"
    assert ({path.name for path in place.iterdir()} if place.exists() else set()) == linked
    for name in linked:
        assert (place / name / "am" / "final.mdl").is_file()
    variable = f"COLDVOX_MODELS_DIR={place}\n" if linked else ""
    assert (stocked.commands / "set_env_1").read_text() == variable


def test_a_model_that_is_missing_is_told_and_the_others_are_there(stocked: Instance) -> None:
    stocked.policy(models=["gone", "m"])
    said = stocked.call("started")
    assert said.count("::warning") == 1
    assert "has no 'gone'" in said
    assert (stocked.temp / "models" / "m").is_symlink()
    assert "has no 'gone'" in stocked.records()["started"]["note"]


def test_models_are_held_as_long_as_the_worker_lives(stocked: Instance, agent: Agent) -> None:
    worker = agent.root / "Runner.Worker"
    worker.write_text(f"#!/bin/sh\n{agent.command} job started; echo ready; read end\n")
    worker.chmod(0o755)
    variables = [f"{name}={value}" for name, value in stocked.environment().items()]
    layout = Layout(str(agent.store))
    with agent.spawn("env", *variables, str(worker), user=stocked.user) as process:
        assert first_line(process) == "ready"
        with Locks(layout).removing(sha256(MODEL)) as possible:
            assert not possible
        process.communicate("\n", timeout=30)


def test_a_fork_is_refused_before_anything_is_linked(stocked: Instance) -> None:
    head = {"repo": {"full_name": "evil/b"}}
    stocked.event.write_text(
        json.dumps({"pull_request": {"head": head, "base": {"repo": {"full_name": "a/b"}}}})
    )
    said = stocked.call("started", status=77, GITHUB_EVENT_NAME="pull_request")
    assert said.startswith("::error title=coldvox.ci::This runner takes no jobs from forks")
    assert not (stocked.temp / "models").exists()
    assert "no jobs from forks" in stocked.records()["started"]["note"]
    stocked.policy(refuse_forks=False)
    assert stocked.call("started", GITHUB_EVENT_NAME="pull_request") == ""


def test_our_own_trouble_is_told_and_fails_no_job(instance: Instance) -> None:
    instance.spool.rmdir()
    for word in ("started", "completed"):
        said = instance.call(word)
        assert said.startswith("::warning title=coldvox.ci::this job is not recorded, because ")
        assert said.count("\n") == 1


def test_a_broken_policy_is_told_and_the_strict_one_holds(instance: Instance) -> None:
    (instance.agent.root / "config" / "hooks.json").write_text("{")
    assert "hooks.json cannot be used" in instance.call("started")
    assert "no jobs from forks" in instance.call(
        "started", status=77, GITHUB_EVENT_NAME="pull_request_target"
    )


def test_a_job_that_spoils_its_note_only_loses_its_figures(instance: Instance) -> None:
    instance.call("started")
    (instance.temp / "_coldvox_job.json").write_text("[" * 100_000)
    instance.call("completed")
    assert instance.records()["completed"]["cpu_seconds"] is None


@pytest.mark.parametrize("places", [{}, {"run": "/r", "config": "/c", "store": "/s", "runners": "/i"}])
@pytest.mark.parametrize("word", ["started", "completed"])
def test_a_hook_gets_what_the_parser_would_give(word: str, places: dict[str, str]) -> None:
    parser = argparse.ArgumentParser()
    add_commands(parser, places)
    assert vars(hook_call([word], places)) == vars(parser.parse_args([word]))


@pytest.mark.parametrize("words", [[], ["watch"], ["started", "--json"], ["completed", "x"]])
def test_what_is_more_than_a_hooks_name_is_left_to_the_parser(words: list[str]) -> None:
    assert hook_call(words, {}) is None


def test_a_hook_loads_nothing_that_it_does_not_need(stocked: Instance) -> None:
    argv = [PYTHON, "-I", "-X", "importtime", str(stocked.agent.command), "job"]
    dear = {"argparse", "asyncio", "hashlib", "shutil", "subprocess", "tempfile", "threading", "urllib.parse"}
    for word in ("started", "completed"):
        told = subprocess.run(
            [*argv, word], env=stocked.environment(), capture_output=True, text=True, timeout=60, check=True
        ).stderr
        loaded = {line.rpartition("|")[2].strip() for line in told.splitlines()}
        assert "json" in loaded
        assert loaded & dear == set()


def test_outside_a_job_it_says_so(agent: Agent) -> None:
    assert "no job of a runner" in agent.run("job", "started", status=3).stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make accounts' directories")
def test_a_spool_needs_an_account(agent: Agent) -> None:
    said = agent.run("job", "prepare", "nobody-has-this", status=3).stderr
    assert "Account 'ci-nobody-has-this' does not exist" in said
    assert not (agent.root / "run" / "jobs").exists()
