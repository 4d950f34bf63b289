"""A runner that was installed by hand is taken over, and gets its name back.

The runner is the stand-in with its own config.sh and the unit of its own template. Only systemctl is not
real.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from testbed.github.client import AdminClient
from testbed.github.server import Running
from tests._support.runner_host import TOKEN, TREE, RunnerHost

UNIT = "actions.runner.Coldaine-ColdVox.old.service"
KEYS = (".runner", ".credentials", ".credentials_rsaparams")
INSTANCE: dict[str, Any] = {"name": "old", "labels": ["gpu", "nobara"]}


class OldRunner:
    """A runner in a directory of its account, as GitHub's page tells a person to make it."""

    def __init__(self, host: RunnerHost, github: Running) -> None:
        self._host, self._github = host, github
        self.root = host.root / "home" / "actions-runner"
        shutil.copytree(TREE, self.root, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", host.user, str(self.root.parent)], check=True)

    def install(self, *options: str) -> None:
        token = self.rest("POST", "/registration-token")["token"]
        become = ["setpriv", f"--reuid={self._host.user}", "--regid=65534", "--init-groups", "--"]
        subprocess.run(
            [
                *(become if os.geteuid() == 0 else []),
                *("./config.sh", "--unattended", "--url", self._host.url, "--token", token, "--name", "old"),
                *("--labels", "gpu,nobara", *options),
            ],
            cwd=self.root,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.root.parent)},
            check=True,
            capture_output=True,
        )
        template = (self.root / "bin" / "actions.runner.service.template").read_text()
        for key, value in (("User", self._host.user), ("Description", "old"), ("RunnerRoot", str(self.root))):
            template = template.replace(f"{{{{{key}}}}}", value)
        (self._host.units / UNIT).write_text(template)
        shutil.copy(self.root / "bin" / "runsvc.sh", self.root)
        self.systemctl("enable", UNIT)
        self.systemctl("start", UNIT)
        self.wait("online")

    def systemctl(self, *words: str) -> str:
        program = str(self._host.root / "bin" / "systemctl")
        return subprocess.run([program, *words], check=True, capture_output=True, text=True).stdout

    def wait(self, status: str) -> None:
        deadline = time.monotonic() + 30
        while self.at_github()["status"] != status:
            assert time.monotonic() < deadline, f"the old runner is not {status}"
            time.sleep(0.2)

    def rest(self, method: str, path: str = "") -> Any:
        url = f"{self._github.api_url}/repos/Coldaine/ColdVox/actions/runners{path}"
        request = Request(url, method=method, headers={"Authorization": f"Bearer {TOKEN}"})
        with build_opener(ProxyHandler({})).open(request, timeout=20) as response:
            return json.loads(response.read() or "null")

    def at_github(self) -> dict[str, Any]:
        (runner,) = [each for each in self.rest("GET")["runners"] if each["name"] == "old"]
        return dict(runner)

    def labels(self) -> set[str]:
        return {label["name"] for label in self.at_github()["labels"]} - {
            "self-hosted",
            "Linux",
            "X64",
            "ARM64",
        }

    @property
    def keys(self) -> list[str]:
        return [name for name in KEYS if (self.root / name).exists()]

    @property
    def state(self) -> tuple[bool, bool]:
        """Whether the unit is active, and whether it starts at boot."""
        shown = self.systemctl("show", UNIT)
        return "ActiveState=active" in shown, "UnitFileState=enabled" in shown

    def bring_to(self, state: str, *instances: dict[str, Any], **options: Any) -> dict[str, Any]:
        check = bool(options.pop("check", False))
        arguments = {
            "url": self._host.url,
            "token": TOKEN,
            "base_dir": str(self._host.base),
            "unit_dir": str(self._host.units),
            "state_dir": str(self._host.root / "state"),
            "instances": list(instances or [INSTANCE]),
            "state": state,
            "online_timeout_seconds": 20,
            **options,
        }
        return self._host.call("coldvox.ci.github_manual_runner", arguments, *(["--check"] if check else []))


@pytest.fixture
def old(host: RunnerHost, github: Running) -> OldRunner:
    runner = OldRunner(host, github)
    runner.install()
    return runner


def ok(result: dict[str, Any]) -> dict[str, Any]:
    assert not result["failed"], result["_output"][-3000:]
    return result


def take_over(host: RunnerHost, old: OldRunner) -> None:
    ok(old.bring_to("drained"))
    ok(host.converge(INSTANCE, replace="adopt"))
    ok(old.bring_to("absent"))


@pytest.mark.parametrize("replace", ["offline", "always"])
def test_converge_recognizes_the_runner_on_this_host(host: RunnerHost, old: OldRunner, replace: str) -> None:
    number = old.at_github()["id"]
    for check in (True, False):
        refused = host.converge(INSTANCE, replace=replace, check=check)
        assert refused["failed"]
        assert (
            f"Runner 'old' was installed by hand on this very host, at '{old.root}' ({UNIT})"
            in refused["msg"]
        )
        assert "adopt.yml" in refused["msg"]
    assert old.at_github()["id"] == number
    assert old.at_github()["status"] == "online"


def test_converge_warns_of_a_runner_with_another_name(host: RunnerHost, old: OldRunner) -> None:
    done = ok(host.converge({"name": "new"}))
    assert f"Runner 'old' was installed by hand on this host, at '{old.root}'" in done["_output"]
    assert old.at_github()["status"] == "online"


def test_check_mode_predicts_and_changes_nothing(host: RunnerHost, old: OldRunner) -> None:
    plan = ok(old.bring_to("drained", check=True))
    assert plan["changed"]
    assert (
        "is idle. The takeover will stop it, register 'old' for the pool with gpu, nobara" in plan["plan"][0]
    )
    assert plan["archive_dirs"].count(str(old.root)) == 1
    predicted = ok(host.converge(INSTANCE, replace="adopt", check=True))
    assert predicted["runners"][0]["outcome"] == "replaced"
    ok(old.bring_to("absent", check=True))
    assert (old.state, old.keys, old.labels()) == ((True, True), list(KEYS), {"gpu", "nobara"})
    assert not (host.root / "state").exists()


def test_runner_is_taken_over_and_goes_back(host: RunnerHost, old: OldRunner, admin: AdminClient) -> None:
    take_over(host, old)
    assert (old.state, old.keys) == ((False, False), [])
    assert set(host.pids()) == {"old"}
    assert old.at_github()["status"] == "online"
    assert old.labels() == {"gpu", "nobara"}
    record = host.root / "state" / "by_hand" / "old.json"
    assert (record.stat().st_mode & 0o777, record.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    for state in ("drained", "absent"):
        assert not ok(old.bring_to(state))["changed"]
    again = ok(host.converge(INSTANCE))
    assert again["runners"][0]["outcome"] == "unchanged"
    assert "by hand" not in again["_output"]

    early = old.bring_to("present")
    assert early["failed"]
    assert "The pool still has old" in early["msg"]
    ok(host.converge({**INSTANCE, "state": "absent"}, replace="never"))
    (old.root / ".path").write_text("/opt/tools/bin:/usr/bin:/bin")
    back = ok(old.bring_to("present"))
    assert back["runners"][0]["steps"] == ["register", "start"]
    assert (old.state, old.keys, old.labels()) == ((True, True), list(KEYS), {"gpu", "nobara"})
    assert old.at_github()["status"] == "online"
    assert (old.root / ".path").read_text().strip() == "/opt/tools/bin:/usr/bin:/bin"
    assert not record.exists()
    assert not ok(old.bring_to("present"))["changed"]
    assert admin.audit()
    assert host.converge(INSTANCE)["failed"], "the name is the old runner's again"


def test_key_stays_while_the_new_runner_does_not_work(old: OldRunner) -> None:
    ok(old.bring_to("drained"))
    early = old.bring_to("absent")
    assert early["failed"]
    assert "is not online at GitHub, so the registration in" in early["msg"]
    assert old.keys == list(KEYS)
    back = ok(old.bring_to("present"))
    assert back["runners"][0]["steps"] == ["start"], "its old key is still good"
    assert (old.state, old.labels()) == ((True, True), {"gpu", "nobara"})
    assert old.at_github()["status"] == "online"


def test_job_of_the_old_runner_is_waited_for(host: RunnerHost, old: OldRunner, admin: AdminClient) -> None:
    job = admin.queue_job(["gpu"], "sleep 6; echo went on to the end")
    admin.wait_for_job(job, status="in_progress")
    late = old.bring_to("drained", drain_timeout_seconds=1)
    assert late["failed"]
    assert "still runs a job after 1 s and was not stopped" in late["msg"]
    assert old.labels() == {"gpu", "nobara"}, "the labels are back"
    refused = host.converge(INSTANCE, replace="adopt")
    assert refused["failed"]
    assert "still runs; run adopt.yml" in refused["msg"]
    ok(old.bring_to("drained"))
    done = admin.wait_for_job(job)
    assert done["conclusion"] == "success"
    assert "went on to the end" in done["log"]
    assert old.state == (False, True)


def test_runner_that_a_person_started_without_a_unit_is_stopped(host: RunnerHost, old: OldRunner) -> None:
    old.systemctl("stop", UNIT)
    old.wait("offline")
    (host.units / UNIT).unlink()
    (host.systemctl / f"{UNIT}.pid").unlink()
    become = ["setpriv", f"--reuid={host.user}", "--regid=65534", "--init-groups", "--"]
    session = subprocess.Popen(
        [*(become if os.geteuid() == 0 else []), str(old.root / "run.sh")],
        cwd=old.root,
        env={"PATH": "/usr/bin:/bin", "HOME": str(old.root.parent)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        old.wait("online")
        take_over(host, old)
        assert session.wait(timeout=10) == 0
        assert old.keys == []
    finally:
        session.kill()
        session.wait()


@pytest.mark.parametrize(
    ("instances", "words"),
    [
        ([{"name": "new"}], "add '- name: old' with 'labels: [gpu, nobara]'"),
        ([{"name": "old", "labels": ["gpu"]}], "'old' has the labels nobara at GitHub"),
        ([{**INSTANCE, "group": "heavy"}], "in the runner group 'Default'"),
    ],
)
def test_takeover_is_refused_before_any_change(
    old: OldRunner, instances: list[dict[str, Any]], words: str
) -> None:
    refused = old.bring_to("drained", *instances)
    assert refused["failed"]
    assert words in refused["msg"]
    assert (old.state, old.keys, old.labels()) == ((True, True), list(KEYS), {"gpu", "nobara"})


def test_runner_that_is_not_wanted_any_more_is_removed(host: RunnerHost, old: OldRunner) -> None:
    gone = {**INSTANCE, "labels": [], "state": "absent"}
    ok(old.bring_to("drained", gone))
    ok(host.converge(gone, replace="adopt"))
    ok(old.bring_to("absent", gone))
    assert (old.state, old.keys) == ((False, False), [])
    assert [each["name"] for each in old.rest("GET")["runners"] if each["name"] == "old"] == []


def test_runner_of_another_repository_stays(host: RunnerHost, old: OldRunner) -> None:
    other = ok(old.bring_to("drained", url=host.url.replace("ColdVox", "Other")))
    assert not other["changed"]
    assert "belongs to" in other["foreign"][0]
    assert old.state == (True, True)
