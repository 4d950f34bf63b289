"""The pool with real ansible, the emulator and the stand-in runner."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from testbed.github.client import AdminClient
from tests._support.runner_host import TOKEN, RunnerHost

ONE: dict[str, Any] = {
    "name": "one",
    "labels": ["Fast", "self-hosted"],
    "environment": {"A": "1"},
    "path": ["/usr/bin"],
}
TWO: dict[str, Any] = {"name": "two", "labels": ["slow"]}


def calls(admin: AdminClient, since: int = 0) -> list[str]:
    """Return the REST requests of the controller and the runners."""
    return [f"{entry['method']} {entry['path'].removeprefix('/api/v3')}" for entry in admin.audit()[since:]]


def minted(admin: AdminClient) -> int:
    return sum("registration-token" in call for call in calls(admin))


def outcomes(result: dict[str, Any]) -> dict[str, str]:
    return {runner["name"]: runner["outcome"] for runner in result["runners"]}


def test_runner_pool_is_registered_once_then_left_alone(host: RunnerHost, admin: AdminClient) -> None:
    host.warm = False
    predicted = host.converge(ONE, TWO, check=True)
    assert outcomes(predicted) == {"one": "registered", "two": "registered"}
    assert predicted["changed"]
    assert minted(admin) == 0
    assert list(host.base.iterdir()) == []

    made = host.converge(ONE, TWO)
    assert made["changed"], made
    assert outcomes(made) == {"one": "registered", "two": "registered"}
    assert minted(admin) == 1, "one token is enough for the whole pool"
    first = made["runners"][0]
    assert {label.lower() for label in first["labels"]} == {"self-hosted", "linux", "x64", "fast"}
    assert (first["status"], first["unit"]) == ("online", "coldvox-runner@one.service")
    assert first["version"] == "2.336.0"
    assert host.log() == [
        f"{verb} coldvox-runner@{name}.service" for name in ("one", "two") for verb in ("enable", "start")
    ]

    before = len(admin.audit())
    again = host.converge(ONE, TWO)
    assert not again["changed"], again
    assert outcomes(again) == {"one": "unchanged", "two": "unchanged"}
    own = [call for call in calls(admin, before) if "/actions/runners" in call]
    assert own == ["GET /repos/Coldaine/ColdVox/actions/runners"]
    assert host.log() == []


def test_runner_pool_files_on_the_host_are_complete(host: RunnerHost) -> None:
    host.converge(ONE)
    root = host.base / "one"
    assert stat.S_IMODE(root.stat().st_mode) == 0o1770
    assert host.file("one", ".env").read_text() == "A=1\n"
    assert host.file("one", ".path").read_text() == "/usr/bin"
    assert os.path.samefile(host.file("one", "bin/Runner.Listener"), host.archive / "bin/Runner.Listener")
    assert host.file("one", ".env").stat().st_uid == os.geteuid()
    assert host.file("one", ".runner").owner() == host.user
    record = json.loads(host.file("one", ".coldvox/tree.json").read_text())
    entries = set(record.pop("entries"))
    assert record == {"tree": "ab" * 32, "version": "2.336.0"}
    here = {path.name for path in host.file("one", "").iterdir()}
    assert {"bin", "config.sh", "run.sh"} <= entries <= here


def test_runner_secrets_do_not_reach_the_host_or_the_output(host: RunnerHost) -> None:
    made = host.converge(ONE, verbose=True)
    assert outcomes(made) == {"one": "registered"}
    assert TOKEN not in made["_output"]
    for path in host.base.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert TOKEN.encode() not in path.read_bytes(), path


def test_runner_labels_change_without_a_restart(host: RunnerHost, admin: AdminClient) -> None:
    host.converge(ONE)
    pids = host.pids()
    host.log()
    relabelled = host.converge({**ONE, "labels": ["new"]})
    assert outcomes(relabelled) == {"one": "relabelled"}
    assert sorted(relabelled["runners"][0]["labels"]) == ["Linux", "X64", "new", "self-hosted"]
    assert host.pids() == pids
    assert host.log() == []
    assert minted(admin) == 1
    assert outcomes(host.converge({**ONE, "labels": ["NEW"]})) == {"one": "unchanged"}


def test_runner_change_waits_for_the_job(host: RunnerHost, job: Any) -> None:
    host.converge(ONE, TWO)
    pids = host.pids()
    running = job("one")
    changed = [{**ONE, "environment": {"A": "2"}}, {**TWO, "environment": {"B": "2"}}]
    refused = host.converge(*changed, drain_timeout_seconds=1)
    assert refused["failed"]
    assert "'one' still runs a job after 1 s" in refused["msg"]
    assert refused["failed_instances"] == ["one"]
    assert running.poll() is None, "the job lives"
    assert host.pids()["one"] == pids["one"], "its listener too"
    assert host.pids()["two"] != pids["two"], "the other instance was not held up"
    running.kill()
    running.wait()
    assert outcomes(host.converge(*changed)) == {"one": "updated", "two": "unchanged"}
    assert host.pids()["one"] != pids["one"]


def test_runner_restarts_after_a_change_of_its_unit(host: RunnerHost) -> None:
    host.converge(ONE)
    host.log()
    folder = host.units / "coldvox-runner@.service.d"
    folder.mkdir()
    (folder / "50-hardening.conf").write_text("[Service]\nPrivateTmp=yes\n")
    updated = host.converge(ONE)
    assert outcomes(updated) == {"one": "updated"}
    assert host.log() == [f"{verb} coldvox-runner@one.service" for verb in ("stop", "reset-failed", "start")]
    assert outcomes(host.converge(ONE)) == {"one": "unchanged"}


def test_runner_version_is_replaced(host: RunnerHost, admin: AdminClient) -> None:
    host.converge(ONE)
    host.archive = host.publish("cd" * 32, "2.400.0")
    assert outcomes(host.converge(ONE)) == {"one": "updated"}
    record = json.loads(host.file("one", ".coldvox/tree.json").read_text())
    assert (record["tree"], record["version"]) == ("cd" * 32, "2.400.0")
    assert minted(admin) == 1


def test_runner_listener_that_died_is_started_again(host: RunnerHost) -> None:
    host.converge(ONE)
    os.killpg(host.pids()["one"], 9)
    assert outcomes(host.converge(ONE)) == {"one": "updated"}


def test_runner_registration_deleted_at_github_is_made_again(host: RunnerHost, admin: AdminClient) -> None:
    made = host.converge(ONE)

    number = made["runners"][0]["id"]
    host.remove_at_github(number)
    again = host.converge(ONE)
    assert outcomes(again) == {"one": "registered"}
    assert again["runners"][0]["id"] != number
    assert minted(admin) == 2


def test_runner_registration_that_is_new_replaces_the_old(host: RunnerHost) -> None:
    host.converge(ONE)
    replaced = host.converge({**ONE, "work_dir": "_elsewhere"})
    assert outcomes(replaced) == {"one": "replaced"}
    assert replaced["runners"][0]["status"] == "online"
    assert outcomes(host.converge({**ONE, "work_dir": "_elsewhere"})) == {"one": "unchanged"}


def test_runner_registration_that_fails_leaves_the_old_at_work(host: RunnerHost) -> None:
    host.converge(ONE)
    runner = host.file("one", ".runner").read_bytes()
    failed = host.converge({**ONE, "group": "no such group"})
    assert failed["failed"]
    assert "'one' could not be registered" in failed["msg"]
    assert "no such group" in failed["msg"]
    assert host.file("one", ".runner").read_bytes() == runner
    assert Path(f"/proc/{host.pids()['one']}").exists()
    assert outcomes(host.converge(ONE)) in ({"one": "replaced"}, {"one": "unchanged"})


def test_runner_pool_drains_and_returns(host: RunnerHost) -> None:
    host.converge(ONE, TWO)
    host.log()
    rested = host.converge({**ONE, "state": "drained"}, TWO)
    assert outcomes(rested) == {"one": "drained", "two": "unchanged"}
    assert sorted(rested["runners"][0]["labels"]) == ["Linux", "X64", "self-hosted"]
    assert host.log() == [
        f"{verb} coldvox-runner@one.service" for verb in ("stop", "reset-failed", "disable")
    ]
    assert outcomes(host.converge({**ONE, "state": "drained"}, TWO)) == {
        "one": "unchanged",
        "two": "unchanged",
    }
    back = host.converge(ONE, TWO)
    assert outcomes(back) == {"one": "updated", "two": "unchanged"}
    assert "Fast" in back["runners"][0]["labels"]
    assert back["runners"][0]["status"] == "online"


def test_runner_removal_leaves_nothing_and_can_be_repeated(host: RunnerHost, admin: AdminClient) -> None:
    host.converge(ONE, TWO)
    drop_in = host.units / "coldvox-runner@one.service.d"
    drop_in.mkdir()
    predicted = host.converge(ONE, TWO, state="absent", check=True)
    assert outcomes(predicted) == {"one": "removed", "two": "removed"}
    assert host.file("one", ".runner").exists()
    removed = host.converge(ONE, TWO, state="absent")
    assert outcomes(removed) == {"one": "removed", "two": "removed"}
    assert list(host.base.iterdir()) == []
    assert not drop_in.exists()
    assert [runner["id"] for runner in removed["runners"]] == [None, None]
    again = host.converge(ONE, TWO, state="absent")
    assert not again["changed"]
    assert minted(admin) == 1


def test_runner_removal_works_without_the_files_on_the_host(host: RunnerHost) -> None:
    host.converge(ONE)
    subprocess.run([str(host.root / "bin/systemctl"), "stop", "coldvox-runner@one.service"], check=True)
    (host.systemctl / "coldvox-runner@one.service.enabled").unlink()
    subprocess.run(["rm", "-rf", str(host.base / "one")], check=True)
    assert not host.converge(ONE, state="absent")["changed"], "it may be another machine's"
    removed = host.converge(ONE, state="absent", replace="offline")
    assert removed["runners"][0]["steps"] == ["delete_registration"], removed
    assert not host.converge(ONE, state="absent", replace="offline")["changed"]


def test_runner_removal_without_github_leaves_the_registration(host: RunnerHost, admin: AdminClient) -> None:
    host.converge(ONE, TWO)
    since = len(admin.audit())
    predicted = host.converge(ONE, TWO, state="absent", url="", token="", check=True)
    assert host.file("one", ".runner").exists()
    removed = host.converge(ONE, TWO, state="absent", url="", token="")
    assert outcomes(predicted) == outcomes(removed) == {"one": "removed", "two": "removed"}, removed
    assert "GitHub still lists one, two; remove" in " ".join(removed["_output"].split())
    assert list(host.base.iterdir()) == []
    calls = [entry for entry in admin.audit()[since:] if entry["user_agent"] == "coldvox-ci"]
    assert calls == []


def test_runner_name_of_a_sleeping_runner_of_another_host_is_refused(host: RunnerHost) -> None:
    """Replace no registration of others by default, and never silently."""
    host.converge(ONE)
    subprocess.run([str(host.root / "bin/systemctl"), "stop", "coldvox-runner@one.service"], check=True)
    other = RunnerHost(host.url)
    try:
        refused = other.converge(ONE)
        assert refused["failed"]
        assert "'one' is taken" in refused["msg"]
        assert "github_runner_replace=offline" in refused["msg"]
        assert list(other.base.iterdir()) == []
        taken = other.converge(ONE, replace="offline")
        assert outcomes(taken) == {"one": "replaced"}
        assert "which this host did not make" in " ".join(taken["_output"].split())
    finally:
        other.close()


def test_runner_of_an_interrupted_registration_belongs_to_the_host(host: RunnerHost) -> None:
    """Know it by the announcement, which is there before GitHub is asked."""
    host.converge(ONE)
    assert not host.file("one", ".coldvox/announced.json").exists(), "the record took its place"
    subprocess.run([str(host.root / "bin/systemctl"), "stop", "coldvox-runner@one.service"], check=True)
    host.file("one", ".coldvox/registration.json").unlink()
    host.file("one", ".runner").unlink()
    assert "'one' is taken" in host.converge(ONE)["msg"]
    host.file("one", ".coldvox/announced.json").write_text("{}")
    again = host.converge(ONE)
    assert outcomes(again) == {"one": "replaced"}
    assert "which this host did not make" not in again["_output"]


def test_runner_is_announced_before_it_is_registered(host: RunnerHost, admin: AdminClient) -> None:
    admin.set_faults({"path_regex": "registration-token", "status": 403, "times": 1})
    assert host.converge(ONE)["failed"]
    assert host.file("one", ".coldvox/announced.json").exists()
    assert outcomes(host.converge(ONE)) == {"one": "registered"}
    assert not host.file("one", ".coldvox/announced.json").exists()


def test_runner_without_its_hooks_is_refused(host: RunnerHost) -> None:
    hook = host.root / "job-started.sh"
    instance = {**ONE, "environment": {"ACTIONS_RUNNER_HOOK_JOB_STARTED": str(hook)}}
    assert outcomes(host.converge(instance, check=True)) == {"one": "registered"}, "a run may bring the hooks"
    refused = host.converge(instance)
    assert refused["failed"]
    assert f"'one' would fail every job, because the host does not have {hook}" in refused["msg"]
    hook.write_text("#!/bin/sh\n")
    assert outcomes(host.converge(instance)) == {"one": "registered"}


def test_runner_that_the_inventory_lost_is_reported_while_it_works(host: RunnerHost) -> None:
    host.converge(ONE, TWO)
    said = " ".join(host.converge(TWO)["_output"].split())
    assert "This host also runs 'one', not in the inventory" in said
    assert "state: absent" in said
    assert "This host also runs" not in host.converge(ONE, TWO)["_output"]


def test_runner_name_of_an_online_runner_of_another_host_is_refused(host: RunnerHost) -> None:
    host.converge(ONE)
    other = RunnerHost(host.url)
    try:
        refused = other.converge(ONE)
        assert refused["failed"]
        assert "'one' is taken" in refused["msg"]
        assert list(other.base.iterdir()) == []
        assert not other.converge(ONE, state="absent")["changed"], "nor is it removed from there"
        taken = other.converge(ONE, replace="always")
        assert outcomes(taken) == {"one": "replaced"}
    finally:
        other.close()


def test_runner_pool_stops_at_a_wrong_token_before_the_host(host: RunnerHost) -> None:
    refused = host.converge(ONE, token="wrong")
    assert refused["failed"]
    assert "HTTP 401" in refused["msg"]
    assert "repository Coldaine/ColdVox" in refused["msg"]
    assert list(host.base.iterdir()) == []


def test_runner_token_may_come_from_the_environment(host: RunnerHost) -> None:
    assert "COLDVOX_GITHUB_TOKEN" in host.converge(ONE, token="", check=True)["msg"]
    host.environment = {"COLDVOX_GITHUB_TOKEN": TOKEN}
    assert outcomes(host.converge(ONE, token="", check=True)) == {"one": "registered"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": ""}, "url is missing"),
        ({"archive": ""}, "archive is missing"),
        ({"instances": [{"name": "a b"}]}, "'a b' cannot be used"),
        (
            {"instances": [{"name": "a", "environment": {"ACTIONS_RUNNER_CONCURRENT_JOBS": 3}}]},
            "no such setting",
        ),
        ({"instances": [{"name": "a", "user": "ci-nobody-there"}]}, "'ci-nobody-there' does not exist"),
        ({"api_url": "http://127.0.0.1:9/api/v3", "request_timeout_seconds": 1}, "could not be reached"),
    ],
)
def test_runner_pool_refuses_bad_input_in_one_sentence(
    host: RunnerHost, options: dict[str, Any], words: str
) -> None:
    refused = host.converge(ONE, **options)
    assert refused["failed"]
    assert words in refused["msg"], refused["msg"]
    assert "Traceback" not in refused["_output"]
    assert list(host.base.iterdir()) == []


def test_runner_pool_warns_of_unknown_settings_and_continues(host: RunnerHost) -> None:
    predicted = host.converge({**ONE, "environment": {"ACTIONS_RUNNER_NEW_SETTING": "1"}}, check=True)
    assert outcomes(predicted) == {"one": "registered"}
    assert "does not read these variables: ACTIONS_RUNNER_NEW_SETTING" in predicted["_output"]


def test_runner_pool_waits_while_github_has_errors(host: RunnerHost, admin: AdminClient) -> None:
    admin.set_faults({"path_regex": "/actions/runners$", "status": 502, "times": 1})
    assert outcomes(host.converge(ONE, check=True)) == {"one": "registered"}
