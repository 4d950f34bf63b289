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
    run.github.emulator.state.runners[number] = Runner(id=number, scope=scope, **options)  # type: ignore[arg-type]


def test_github_runner_info_returns_the_pool_with_its_versions(run: Controller) -> None:
    register(run, 31, name="b", version="2.334.1", ephemeral=True, lies={"status": "online", "busy": True})
    register(run, 32, name="A")
    register(run, 33, name="c", version=None)
    run.github.admin.call("POST", "/support", {"versions": {"2.334.1": "2026-12-01T00:00:00Z"}})
    run.warm = False
    answer = run("github_runner_info")
    assert (answer["changed"], answer["newest_version"], answer["missing"]) == (False, "2.336.0", [])
    first, second, third = answer["runners"]
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
    assert ADMIN_TOKEN not in answer["_output"]


@pytest.mark.parametrize(("instances", "requests"), [(1, 3), (40, 4)])
def test_github_runner_info_requests_are_a_constant_and_paging(
    run: Controller, instances: int, requests: int
) -> None:
    for number in range(1000, 1250):
        register(run, number)
    wanted = [f"r{number}" for number in range(1249, 1249 - instances, -1)]
    answer = run("github_runner_info", names=wanted)
    assert len(answer["runners"]) == instances
    assert len(run.requests()) == requests


def test_github_runner_info_returns_missing_names_and_groups_by_name(run: Controller) -> None:
    organization = Scope("orgs", "Coldaine")
    run.github.emulator.state.groups_of(organization)[7] = Group(7, "builders")
    register(run, 31, organization, group_id=7)
    answer = run("github_runner_info", page="Coldaine", names=["R31", "other"])
    assert [(runner["name"], runner["group"]) for runner in answer["runners"]] == [("r31", "builders")]
    assert answer["missing"] == ["other"]


def test_github_runner_info_takes_the_token_from_the_environment(run: Controller) -> None:
    run.environment["COLDVOX_GITHUB_TOKEN"] = ADMIN_TOKEN
    assert run("github_runner_info", token="")["runners"] == []
    del run.environment["COLDVOX_GITHUB_TOKEN"]
    assert "no credential for repository Coldaine/ColdVox" in run("github_runner_info", token="")["msg"]
