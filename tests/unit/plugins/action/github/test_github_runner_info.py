"""``github_runner_info`` by Ansible, over HTTP, on a host that cannot be reached."""

from __future__ import annotations

import pytest

from testbed.github.seed import ADMIN_TOKEN
from testbed.github.state import Group, Label, Runner, Scope
from tests._support.controller import Controller

REPOSITORY = Scope("repos", "Coldaine/ColdVox")
LABELS = [Label(1, "self-hosted", read_only=True), Label(2, "fast", read_only=False)]


def register(run: Controller, number: int, scope: Scope = REPOSITORY, **fields: object) -> None:
    options = {"name": f"r{number}", "group_id": 1, "labels": LABELS, "version": "2.336.0", **fields}
    run.github.emulator.world.runners[number] = Runner(id=number, scope=scope, **options)  # type: ignore[arg-type]


def test_the_whole_pool_is_told_with_its_versions(run: Controller) -> None:
    register(run, 31, name="b", version="2.334.1", ephemeral=True, lies={"status": "online", "busy": True})
    register(run, 32, name="A")
    register(run, 33, name="c", version=None)
    run.github.admin.call("POST", "/support", {"versions": {"2.334.1": "2026-12-01T00:00:00Z"}})
    told = run("github_runner_info")
    assert (told["changed"], told["newest_version"], told["missing"]) == (False, "2.336.0", [])
    first, second, third = told["runners"]
    assert second == {
        "name": "b",
        "id": 31,
        "status": "online",
        "busy": True,
        "labels": ["self-hosted", "fast"],
        "custom_labels": ["fast"],
        "os": "unknown",
        "group": "Default",
        "group_id": 1,
        "ephemeral": True,
        "version": "2.334.1",
        "outdated": True,
        "releases_behind": 2,
        "support_ends_at": "2026-12-01T00:00:00Z",
    }
    assert (first["name"], first["outdated"], first["releases_behind"]) == ("A", False, 0)
    assert (third["version"], third["outdated"], third["releases_behind"]) == ("", None, None)
    assert run.requests() == ["GET runners", "GET downloads", "GET 2.334.1"]
    assert ADMIN_TOKEN not in told["_output"]


@pytest.mark.parametrize(("instances", "requests"), [(1, 3), (40, 4)])
def test_requests_are_a_constant_and_paging(run: Controller, instances: int, requests: int) -> None:
    for number in range(1000, 1250):
        register(run, number)
    wanted = [f"r{number}" for number in range(1249, 1249 - instances, -1)]
    told = run("github_runner_info", names=wanted)
    assert len(told["runners"]) == instances
    assert len(run.requests()) == requests


def test_names_that_are_missing_and_groups_by_name(run: Controller) -> None:
    organization = Scope("orgs", "Coldaine")
    run.github.emulator.world.groups_of(organization)[7] = Group(7, "builders")
    register(run, 31, organization, group_id=7)
    told = run("github_runner_info", page="Coldaine", names=["R31", "other"])
    assert [(one["name"], one["group"]) for one in told["runners"]] == [("r31", "builders")]
    assert told["missing"] == ["other"]


def test_the_environment_can_hold_the_token(run: Controller) -> None:
    run.environment["COLDVOX_GITHUB_TOKEN"] = ADMIN_TOKEN
    assert run("github_runner_info", token="")["runners"] == []
    del run.environment["COLDVOX_GITHUB_TOKEN"]
    assert "no credential for repository Coldaine/ColdVox" in run("github_runner_info", token="")["msg"]
