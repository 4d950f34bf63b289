"""A pool with a failing instance, or with another run at the same time."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock

from tests._support.runner_host import RunnerHost

ONE: dict[str, Any] = {"name": "one", "labels": ["fast"]}
TWO: dict[str, Any] = {"name": "two", "labels": ["slow"]}


def outcomes(result: dict[str, Any]) -> dict[str, str]:
    return {runner["name"]: runner["outcome"] for runner in result["runners"]}


def test_runner_pool_completes_the_others_when_an_instance_fails(host: RunnerHost) -> None:
    host.converge(ONE, TWO, {"name": "three"})
    failed = host.converge(
        {**ONE, "group": "no such group"}, {**TWO, "state": "absent"}, {"name": "three", "labels": ["new"]}
    )
    assert failed["failed"]
    assert failed["failed_instances"] == ["one"]
    runners = {runner["name"]: runner for runner in failed["runners"]}
    assert runners["two"]["id"] is None, "a registration without a host must not stay"
    assert "new" in runners["three"]["labels"]
    again = host.converge(ONE, {**TWO, "state": "absent"}, {"name": "three", "labels": ["new"]})
    assert (outcomes(again)["two"], outcomes(again)["three"]) == ("unchanged", "unchanged")


def test_runner_pool_runs_do_not_work_on_the_same_instance(host: RunnerHost) -> None:
    host.converge(ONE, TWO)
    changed = [{**instance, "environment": {"A": "2"}} for instance in (ONE, TWO)]
    with Flock(str(host.file("one", ".coldvox/lock")), mode=0o600):
        refused = host.converge(*changed)
        assert refused["failed_instances"] == ["one"]
        assert f"because process {os.getpid()} (" in refused["msg"]
        assert "run again" in refused["msg"]
        assert host.file("one", ".env").read_text() == ""
        assert host.file("two", ".env").read_text() == "A=2\n"
        assert not host.converge(ONE, {**TWO, "environment": {"A": "2"}})["changed"], (
            "a run without a change needs no lock"
        )
    assert outcomes(host.converge(*changed)) == {"one": "updated", "two": "unchanged"}


def test_runner_unit_that_restarts_by_itself_is_no_conflict(host: RunnerHost) -> None:
    host.converge(ONE)
    (host.systemctl / "states").write_text("active deactivating")
    changed = host.converge({**ONE, "environment": {"A": "2"}})
    assert (host.systemctl / "states").read_text() == "", "both states were read"
    assert outcomes(changed) == {"one": "updated"}, changed["_output"]


def test_runner_pool_waits_for_a_job_that_began_meanwhile(host: RunnerHost, job: Any) -> None:
    host.converge(ONE)
    running = job("one")
    (host.systemctl / "states").write_text("inactive")
    refused = host.converge({**ONE, "environment": {"A": "2"}}, drain_timeout_seconds=1)
    assert "'one' still runs a job after 1 s" in refused["msg"]
    assert running.poll() is None
    assert host.file("one", ".env").read_text() == ""


def test_runner_that_was_drained_is_started_again_after_a_failure(host: RunnerHost) -> None:
    host.converge(ONE)
    host.file("one", ".env").unlink()
    (host.file("one", ".env") / "in the way").mkdir(parents=True)
    (host.systemctl / "states").write_text("inactive")
    host.log()
    assert host.converge({**ONE, "environment": {"A": "2"}})["failed"]
    assert host.log() == [f"{verb} coldvox-runner@one.service" for verb in ("stop", "reset-failed", "start")]


@pytest.mark.parametrize("name", [".runner_migrated", ".credentials_migrated"])
def test_runner_directory_planted_by_a_job_is_removed(host: RunnerHost, name: str) -> None:
    host.converge(ONE)
    host.file("one", name).mkdir()
    (host.file("one", name) / "file").touch()
    again = host.converge({**ONE, "work_dir": "_elsewhere"})
    assert outcomes(again) == {"one": "replaced"}, again["_output"]
    assert not host.file("one", name).exists()
    assert json.loads(host.file("one", ".runner").read_text("utf-8-sig"))["workFolder"] == "_elsewhere"
    assert outcomes(host.converge({**ONE, "work_dir": "_elsewhere"})) == {"one": "unchanged"}


def test_runner_with_a_deleted_account_is_reported(host: RunnerHost) -> None:
    host.converge(ONE)
    refused = host.converge({**ONE, "user": "ci-was-deleted"})
    assert refused["failed"]
    assert "'ci-was-deleted' of runner 'one' was deleted" in refused["msg"]
    assert outcomes(host.converge({**ONE, "user": "ci-was-deleted", "state": "absent"})) == {"one": "removed"}
