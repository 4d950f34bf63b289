"""Public repositories, and the rotation of a runner's key."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

import pytest

from testbed.github.client import AdminClient
from tests._support.runner_host import RunnerHost

ONE: dict[str, Any] = {"name": "one", "labels": ["fast"]}
STOLEN = (".runner", ".credentials", ".credentials_rsaparams")
LIST = "GET /repos/Coldaine/ColdVox/actions/runners"
SHOW = "GET /repos/Coldaine/ColdVox"


def calls(admin: AdminClient, since: int = 0) -> list[str]:
    return [f"{entry['method']} {entry['path'].removeprefix('/api/v3')}" for entry in admin.audit()[since:]]


@pytest.mark.parametrize("check", [False, True])
def test_kept_registration_with_a_public_repository_is_refused_before_any_change(
    host: RunnerHost, admin: AdminClient, check: bool
) -> None:
    admin.publish()
    refused = host.converge(ONE, {"name": "two", "jit": True}, check=check)
    assert refused["failed"]
    assert "repository Coldaine/ColdVox is public" in refused["msg"]
    assert "and one would keep the registration" in refused["msg"], "and not two, which has jit"
    assert calls(admin) == [LIST, SHOW]
    assert list(host.base.iterdir()) == []
    assert host.log() == []


@pytest.mark.parametrize("change", [{"jit": True}, {"ephemeral": True}, {"state": "absent"}])
def test_repository_is_not_asked_for_an_instance_without_a_kept_registration(
    host: RunnerHost, admin: AdminClient, change: dict[str, Any]
) -> None:
    admin.publish()
    assert not host.converge({**ONE, **change})["failed"]
    assert SHOW not in calls(admin)


def test_public_repository_is_not_asked_if_it_is_allowed(host: RunnerHost, admin: AdminClient) -> None:
    admin.publish()
    assert not host.converge(ONE, public_repository="allow")["failed"]
    assert SHOW not in calls(admin)


def test_private_repository_is_asked_only_before_a_registration(host: RunnerHost, admin: AdminClient) -> None:
    assert host.converge(ONE)["runners"][0]["outcome"] == "registered"
    assert calls(admin).count(SHOW) == 1
    since = len(admin.audit())
    assert host.converge(ONE)["runners"][0]["outcome"] == "unchanged"
    assert calls(admin, since) == [LIST]


def test_organization_is_not_asked(host: RunnerHost, admin: AdminClient) -> None:
    admin.publish()
    host.url = host.url.removesuffix("/ColdVox")
    assert not host.converge(ONE)["failed"]
    assert SHOW not in calls(admin)


def test_stolen_key_is_worthless_after_the_runner_was_removed_at_github(
    host: RunnerHost,
) -> None:
    former = host.converge(ONE)["runners"][0]
    clone = host.publish("cd" * 32)
    for name in STOLEN:
        shutil.copy(host.file("one", name), clone / name)

    def take_jobs() -> str:
        """Start the clone as a thief would; return the first line of its errors."""
        argv = [str(clone / "bin/Runner.Listener"), "run"]
        variables = {**os.environ, "RUNNER_ALLOW_RUNASROOT": "1"}
        with subprocess.Popen(argv, env=variables, stderr=subprocess.PIPE, text=True) as thief:
            assert thief.stderr is not None
            line = thief.stderr.readline()
            thief.kill()
        return line

    assert "A session for this runner already exists." in take_jobs(), "the key works until then"
    host.remove_at_github(former["id"])
    rotated = host.converge(ONE)
    assert not rotated["failed"], rotated["msg"]
    (runner,) = rotated["runners"]
    assert (runner["status"], runner["id"] == former["id"]) == ("online", False)
    assert host.file("one", STOLEN[-1]).read_bytes() != (clone / STOLEN[-1]).read_bytes()
    assert "has been deleted from the server" in take_jobs()
