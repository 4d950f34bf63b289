"""What can be done with runners, against the emulator: every answer is judged by GitHub's description."""

from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import (
    REPOSITORY_GROUP,
    RunnerGroup,
    Runners,
)
from ansible_collections.coldvox.ci.plugins.plugin_utils.github_connection import connect

from testbed.github.seed import ADMIN_TOKEN
from testbed.github.server import Running
from testbed.github.state import Credential, Group, Label, Runner, Scope

PAGES = ["Coldaine/ColdVox", "Coldaine", "enterprises/Coldaine-Works"]


def runners_of(github: Running, page: str = PAGES[0], **options: str) -> Runners:
    return Runners(connect({"url": f"{github.url}/{page}", "token": ADMIN_TOKEN, **options}))


def fleet(github: Running, size: int, page: str = PAGES[0]) -> None:
    """Register ``size`` runners, quicker than by as many requests."""
    world = github.emulator.state
    for number in range(1000, 1000 + size):
        world.runners[number] = Runner(
            number, Scope("repos", page), f"r{number}", 1, [Label(1, "self-hosted", read_only=True)]
        )


@pytest.mark.parametrize("page", PAGES)
def test_a_one_job_runner_is_made_with_its_configuration(github: Running, page: str) -> None:
    runners = runners_of(github, page)
    made = runners.generate_jitconfig("once", 1, ["self-hosted", "fast"], "_w")
    settings = json.loads(base64.b64decode(json.loads(base64.b64decode(made.encoded))[".runner"]))
    assert (settings["AgentName"], settings["WorkFolder"]) == ("once", "_w")
    assert settings["GitHubUrl"] == f"{github.url}/{page}"
    assert (made.runner.name, made.runner.ephemeral, made.runner.group_id) == ("once", True, 1)
    assert runners.all() == [made.runner]
    assert made.encoded not in repr(made)


@pytest.mark.parametrize(
    ("name", "group", "labels", "status", "told"),
    [
        ("taken", 1, ["x"], 409, "already exists"),
        ("new", 77, ["x"], 404, "does not exist"),
        ("new", 1, [], 422, "properties/labels"),
        ("x" * 150, 1, ["x"], 422, "between 1 and 64 characters"),
    ],
)
def test_a_one_job_runner_is_refused(
    github: Running, name: str, group: int, labels: list[str], status: int, told: str
) -> None:
    runners = runners_of(github)
    runners.generate_jitconfig("taken", 1, ["x"])
    with pytest.raises(CiError, match=told) as refused:
        runners.generate_jitconfig(name, group, labels)
    assert refused.value.details == {"status": status}


@pytest.mark.parametrize("page", PAGES)
def test_the_packages_for_a_scope(github: Running, page: str) -> None:
    x64, arm = runners_of(github, page).downloads()
    assert (x64.os, x64.architecture, x64.version, x64.sha256) == ("linux", "x64", "2.336.0", "ab" * 32)
    assert x64.download_url == "https://mirror.invalid/x64"
    assert (arm.architecture, arm.sha256) == ("arm64", None)


@pytest.mark.parametrize("scope", [Scope("orgs", "Coldaine"), Scope("enterprises", "Coldaine-Works")])
def test_groups_of_organization_and_enterprise(github: Running, scope: Scope) -> None:
    github.emulator.state.groups_of(scope)[7] = Group(7, "builders")
    groups = runners_of(github, scope.page[1:]).groups()
    assert groups == [RunnerGroup(1, "Default", True), RunnerGroup(7, "builders", False)]


def test_the_group_of_a_repository_costs_no_request(github: Running) -> None:
    assert runners_of(github).groups() == [REPOSITORY_GROUP]
    assert github.admin.audit() == []


@pytest.mark.parametrize(
    ("size", "wanted", "requests"),
    [(0, 1, 1), (100, 1, 1), (100, 40, 1), (250, 1, 2), (250, 40, 3), (2050, 1, 2), (2050, 40, 21)],
)
def test_requests_for_a_pool_are_a_constant_and_paging(
    github: Running, size: int, wanted: int, requests: int
) -> None:
    fleet(github, size)
    runners_of(github).find([f"r{1000 + size - 1 - number}" for number in range(wanted)])
    assert len(github.admin.audit()) == requests


@pytest.mark.parametrize("size", [1, 250])
def test_a_name_of_150_characters_is_found(github: Running, size: int) -> None:
    fleet(github, size)
    name = "Läufer & Co " + "x" * 138
    github.emulator.state.runners[5000] = Runner(5000, Scope("repos", PAGES[0]), name, 1, [])
    assert runners_of(github).find([name])[name.lower()].id == 5000


def test_the_whole_fleet_is_listed_page_by_page(github: Running) -> None:
    fleet(github, 250)
    assert [one.id for one in runners_of(github).all()] == list(range(1000, 1250))
    assert [entry["query"]["page"] for entry in github.admin.audit()] == ["1", "2", "3"]


def test_an_enterprise_takes_classic_tokens_only(github: Running) -> None:
    for token in ("github_pat_11", "ghs_1"):
        with pytest.raises(CiError, match="classic token with the scope manage_runners:enterprise"):
            runners_of(github, PAGES[2], token=token)
    github.emulator.state.credentials["narrow"] = Credential({"organization_self_hosted_runners": "write"})
    with pytest.raises(CiError, match="manage_runners:enterprise"):
        runners_of(github, PAGES[2], token="narrow").all()
