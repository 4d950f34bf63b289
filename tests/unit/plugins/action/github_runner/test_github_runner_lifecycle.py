"""Drain, upgrade and rollback of a working pool, and runners for a single job."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

import pytest

from testbed.github.client import AdminClient
from tests._support.runner_host import RunnerHost

ONE: dict[str, Any] = {"name": "one", "labels": ["fast"]}
TWO: dict[str, Any] = {"name": "two", "labels": ["slow"]}


def outcomes(result: dict[str, Any]) -> dict[str, str]:
    return {runner["name"]: runner["outcome"] for runner in result["runners"]}


def label_calls(admin: AdminClient, since: int) -> list[str]:
    """Return the label changes, without the requests between them."""
    return [
        f"{entry['method']} {entry['status']}"
        for entry in admin.audit()[since:]
        if entry["path"].endswith("/labels")
    ]


@pytest.mark.parametrize("state", ["present", "drained", "absent"])
def test_runner_labels_are_off_while_a_job_is_waited_for(
    host: RunnerHost, admin: AdminClient, job: Any, state: str
) -> None:
    host.converge(ONE)
    running, since = job("one"), len(admin.audit())
    refused = host.converge({**ONE, "environment": {"A": "2"}, "state": state}, drain_timeout_seconds=1)
    assert refused["failed"]
    assert refused["runners"][0]["outcome"] == "failed"
    assert "'one' still runs a job after 1 s" in refused["runners"][0]["reason"]
    assert label_calls(admin, since) == ["PUT 200", "PUT 200"], "off for the wait, then back"
    assert "fast" in refused["runners"][0]["labels"]
    assert running.poll() is None


def test_runner_restart_takes_a_second_execution(host: RunnerHost, admin: AdminClient) -> None:
    host.converge(ONE, TWO)
    changed = [{**ONE, "environment": {"A": "2"}}, TWO]
    since = len(admin.audit())
    updated = host.converge(*changed, verbose=True)
    assert outcomes(updated) == {"one": "updated", "two": "unchanged"}
    assert updated["_output"].count("Using module file ") == 2
    assert label_calls(admin, since) == ["PUT 200", "PUT 200"]
    assert host.converge(*changed, verbose=True)["_output"].count("Using module file ") == 1


def test_runner_version_that_does_not_come_online_is_rolled_back(host: RunnerHost) -> None:
    host.converge(ONE, TWO)
    before = host.archive
    host.archive = host.publish("cd" * 32, "2.400.0")
    listener = host.archive / "bin" / "standin" / "listener.py"
    listener.write_text(
        listener.read_text().replace(
            "def _run(", "def _run(*_all: object) -> int:\n    return 1\n\n\ndef _old("
        )
    )
    failed = host.converge(ONE, TWO, online_timeout_seconds=4)
    assert failed["failed"]
    assert failed["failed_instances"] == ["one", "two"]
    assert outcomes(failed) == {"one": "failed", "two": "failed"}
    assert "'one' was started but is not online at GitHub with version 2.400.0 after 4 s" in failed["msg"]
    assert "It has version 2.336.0 again and works." in failed["msg"]
    assert "'two' was left as it is, because the upgrade of 'one' failed" in failed["msg"]
    assert [runner["status"] for runner in failed["runners"]] == ["online", "online"], "the pool is alive"
    assert "fast" in failed["runners"][0]["labels"]
    host.archive = before
    assert outcomes(host.converge(ONE, TWO)) == {"one": "unchanged", "two": "unchanged"}


def test_runner_version_that_does_not_run_is_rolled_back(host: RunnerHost) -> None:
    host.converge(ONE)
    host.archive = host.publish("cd" * 32, "2.400.0")
    (host.archive / "bin" / "Runner.Listener").write_text("#!/no/such/interpreter\n")
    failed = host.converge(ONE)
    assert "does not start on this host" in failed["msg"]
    assert "It has version 2.336.0 again and works." in failed["msg"]
    assert failed["runners"][0]["status"] == "online"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
def test_runner_gets_its_work_directory_back(host: RunnerHost, admin: AdminClient, job: Any) -> None:
    """nomadkaraoke/karaoke-gen issue 103: a container's chown, and each job fails before its first step."""
    host.converge(ONE)
    work = host.file("one", "_work")
    (work / "_temp").mkdir(parents=True, exist_ok=True)
    subprocess.run(["chown", "-R", "root", work], check=True)
    running = job("one")
    assert outcomes(host.converge(ONE)) == {"one": "unchanged"}, "a container of the job may own files there"
    running.kill()
    running.wait()
    repaired = host.converge(ONE)
    assert outcomes(repaired) == {"one": "updated"}
    assert "cannot use its work or home directory" in repaired["runners"][0]["reason"]
    assert work.stat().st_uid == pwd.getpwnam(host.user).pw_uid
    assert not (work / "_temp").exists()
    assert outcomes(host.converge(ONE)) == {"one": "unchanged"}
    assert admin.wait_for_job(quick_job(admin, "fast"))["conclusion"] == "success"


def quick_job(admin: AdminClient, label: str) -> int:
    return admin.queue_job([label], "echo planted > ~/planted; echo planted > planted; echo done")


def test_ephemeral_runner_may_end_before_the_first_check(host: RunnerHost, admin: AdminClient) -> None:
    first = quick_job(admin, "fast")
    once = {**ONE, "ephemeral": True}
    made = host.converge(once)
    assert outcomes(made) == {"one": "registered"}, made["msg"]
    assert admin.wait_for_job(first)["conclusion"] == "success"
    assert host.file("one", "_home/planted").exists()
    again = host.converge(once)
    assert outcomes(again) == {"one": "registered"}
    assert again["runners"][0]["status"] == "online"
    assert not host.file("one", "_home/planted").exists(), "nothing of the former job is left"
    assert not host.file("one", "_work").exists()
    assert outcomes(host.converge(once)) == {"one": "unchanged"}


def test_jit_runner_is_registered_for_a_single_start(host: RunnerHost, admin: AdminClient) -> None:
    jit = {**ONE, "jit": True}
    made = host.converge(jit, verbose=True)
    assert outcomes(made) == {"one": "registered"}, made
    runner = made["runners"][0]
    assert (runner["status"], {label.lower() for label in runner["labels"]}) == (
        "online",
        {"self-hosted", "linux", "x64", "fast"},
    )
    calls = [entry["path"] for entry in admin.audit()]
    assert not any(path.endswith("registration-token") for path in calls)
    assert not host.file("one", ".coldvox/jit.env").exists()
    assert "eyJ" not in made["_output"], "the configuration is a secret, JSON in base64"
    assert outcomes(host.converge(jit)) == {"one": "unchanged"}
    assert admin.wait_for_job(quick_job(admin, "fast"))["conclusion"] == "success"
    assert outcomes(host.converge(jit)) == {"one": "registered"}


def test_jit_runner_that_waits_is_replaced(host: RunnerHost) -> None:
    jit = {**ONE, "jit": True}
    number = host.converge(jit)["runners"][0]["id"]
    replaced = host.converge({**jit, "work_dir": "_elsewhere"})
    assert outcomes(replaced) == {"one": "replaced"}, replaced["msg"]
    assert replaced["runners"][0]["id"] != number
    assert replaced["runners"][0]["status"] == "online"


def test_runner_name_that_is_taken_leaves_the_others_alone(host: RunnerHost) -> None:
    host.converge(ONE)
    other = RunnerHost(host.url)
    try:
        mixed = other.converge(ONE, TWO)
        assert mixed["failed_instances"] == ["one"]
        assert outcomes(mixed) == {"one": "failed", "two": "registered"}
    finally:
        other.close()


def test_runner_name_may_be_as_long_as_github_allows(host: RunnerHost) -> None:
    long = {"name": "n" * 64}
    assert outcomes(host.converge(long)) == {"n" * 64: "registered"}
    assert outcomes(host.converge(long, state="absent")) == {"n" * 64: "removed"}
    refused = host.converge({"name": "n" * 150})
    assert "give 1 to 64" in refused["msg"]
    assert not (Path(host.base) / ("n" * 150)).exists()


def test_runner_registration_is_single_after_a_killed_listener_or_controller(
    host: RunnerHost, admin: AdminClient
) -> None:
    host.converge(ONE, TWO)
    for pid in host.pids().values():
        os.killpg(pid, 9)
    host.file("two", ".coldvox/registration.json").unlink()
    admin.set_faults()
    repaired = host.converge(ONE, TWO)
    assert outcomes(repaired) == {"one": "updated", "two": "replaced"}, repaired["msg"]
    listed = admin.health()
    assert listed["violations"] == 0


def test_runner_orphan_is_removed_in_two_passes(host: RunnerHost, admin: AdminClient) -> None:
    number = host.converge(ONE, TWO)["runners"][0]["id"]
    assert host.converge(TWO)["orphans"] == [], "it works"
    subprocess.run([str(host.root / "bin/systemctl"), "stop", "coldvox-runner@one.service"], check=True)
    orphan = {"name": "one", "id": number}
    assert host.converge(TWO, check=True)["orphans"] == [{**orphan, "verdict": "note"}]
    assert host.converge(TWO)["orphans"] == [{**orphan, "verdict": "note"}]
    admin.lie("one", status="online")
    assert host.converge(TWO)["orphans"] == [{**orphan, "verdict": "clear"}]
    admin.lie("one")
    assert host.converge(TWO)["orphans"] == [{**orphan, "verdict": "note"}]
    assert host.converge(TWO)["orphans"] == [{**orphan, "verdict": "remove"}]
    again = host.converge(TWO)
    assert (again["orphans"], again["changed"]) == ([], False)
    assert outcomes(host.converge(ONE, TWO)) == {"one": "registered", "two": "unchanged"}
