"""Calls for runners, checked against the emulator, and rules for packages."""

from __future__ import annotations

import base64
import json
from typing import Optional

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import (
    REPOSITORY_GROUP,
    Release,
    RunnerGroup,
    RunnerPackage,
    Runners,
    cheaper_by_name,
    choose_release,
    newest_version,
    version_gap,
)
from ansible_collections.coldvox.ci.plugins.plugin_utils.github_connection import connect
from hypothesis import given
from hypothesis import strategies as st

from testbed.github.seed import ADMIN_TOKEN
from testbed.github.server import Running
from testbed.github.state import Credential, Group, Label, Runner, Scope

PAGES = ["Coldaine/ColdVox", "Coldaine", "enterprises/Coldaine-Works"]
DIGEST, PINNED = "ab" * 32, "cd" * 32


def runners_of(github: Running, page: str = PAGES[0], **options: str) -> Runners:
    return Runners(connect({"url": f"{github.url}/{page}", "token": ADMIN_TOKEN, **options}))


def fleet(github: Running, size: int, page: str = PAGES[0]) -> None:
    """Register ``size`` runners, faster than by as many requests."""
    world = github.emulator.state
    for number in range(1000, 1000 + size):
        world.runners[number] = Runner(
            number, Scope("repos", page), f"r{number}", 1, [Label(1, "self-hosted", read_only=True)]
        )


@pytest.mark.parametrize("page", PAGES)
def test_generate_jitconfig_returns_runner_and_configuration(github: Running, page: str) -> None:
    runners = runners_of(github, page)
    made = runners.generate_jitconfig("once", 1, ["self-hosted", "fast"], "_w")
    settings = json.loads(base64.b64decode(json.loads(base64.b64decode(made.encoded))[".runner"]))
    assert (settings["AgentName"], settings["WorkFolder"]) == ("once", "_w")
    assert settings["GitHubUrl"] == f"{github.url}/{page}"
    assert (made.runner.name, made.runner.ephemeral, made.runner.group_id) == ("once", True, 1)
    assert runners.all() == [made.runner]
    assert made.encoded not in repr(made)


@pytest.mark.parametrize(
    ("name", "group", "labels", "status", "expected"),
    [
        ("taken", 1, ["x"], 409, "already exists"),
        ("new", 77, ["x"], 404, "does not exist"),
        ("new", 1, [], 422, "properties/labels"),
        ("x" * 150, 1, ["x"], 422, "between 1 and 64 characters"),
    ],
)
def test_generate_jitconfig_reports_refusals(
    github: Running, name: str, group: int, labels: list[str], status: int, expected: str
) -> None:
    runners = runners_of(github)
    runners.generate_jitconfig("taken", 1, ["x"])
    with pytest.raises(CiError, match=expected) as refused:
        runners.generate_jitconfig(name, group, labels)
    assert refused.value.details == {"status": status}


@pytest.mark.parametrize("page", PAGES)
def test_downloads_lists_packages_of_a_scope(github: Running, page: str) -> None:
    x64, arm = runners_of(github, page).downloads()
    assert (x64.os, x64.architecture, x64.version, x64.sha256) == ("linux", "x64", "2.336.0", "ab" * 32)
    assert x64.download_url == "https://mirror.invalid/x64"
    assert (arm.architecture, arm.sha256) == ("arm64", None)


@pytest.mark.parametrize("scope", [Scope("orgs", "Coldaine"), Scope("enterprises", "Coldaine-Works")])
def test_groups_lists_groups_of_organization_and_enterprise(github: Running, scope: Scope) -> None:
    github.emulator.state.groups_of(scope)[7] = Group(7, "builders")
    groups = runners_of(github, scope.page[1:]).groups()
    assert groups == [RunnerGroup(1, "Default", True), RunnerGroup(7, "builders", False)]


def test_groups_of_a_repository_need_no_request(github: Running) -> None:
    assert runners_of(github).groups() == [REPOSITORY_GROUP]
    assert github.admin.audit() == []


@pytest.mark.parametrize(
    ("size", "wanted", "requests"),
    [(0, 1, 1), (100, 1, 1), (100, 40, 1), (250, 1, 2), (250, 40, 3), (2050, 1, 2), (2050, 40, 21)],
)
def test_find_sends_as_few_requests_as_possible(
    github: Running, size: int, wanted: int, requests: int
) -> None:
    fleet(github, size)
    runners_of(github).find([f"r{1000 + size - 1 - number}" for number in range(wanted)])
    assert len(github.admin.audit()) == requests


@pytest.mark.parametrize("size", [1, 250])
def test_find_accepts_a_name_of_150_characters(github: Running, size: int) -> None:
    fleet(github, size)
    name = "Läufer & Co " + "x" * 138
    github.emulator.state.runners[5000] = Runner(5000, Scope("repos", PAGES[0]), name, 1, [])
    assert runners_of(github).find([name])[name.lower()].id == 5000


def test_all_lists_the_fleet_page_by_page(github: Running) -> None:
    fleet(github, 250)
    assert [runner.id for runner in runners_of(github).all()] == list(range(1000, 1250))
    assert [entry["query"]["page"] for entry in github.admin.audit()] == ["1", "2", "3"]


def test_bearer_rejects_fine_grained_tokens_for_an_enterprise(github: Running) -> None:
    for token in ("github_pat_11", "ghs_1"):
        with pytest.raises(CiError, match="classic token with the scope manage_runners:enterprise"):
            runners_of(github, PAGES[2], token=token)
    github.emulator.state.credentials["narrow"] = Credential({"organization_self_hosted_runners": "write"})
    with pytest.raises(CiError, match="manage_runners:enterprise"):
        runners_of(github, PAGES[2], token="narrow").all()


@pytest.mark.parametrize(
    ("version", "newest", "outdated", "behind"),
    [
        ("2.336.0", "2.336.0", False, 0),
        ("2.337.0", "2.336.0", False, 0),
        ("2.335.9", "2.336.0", True, 1),
        ("2.336.0", "2.336.2", True, 0),
        ("2.99.0", "2.336.0", True, 237),
        ("2.336.0", "3.1.0", True, 1),
        ("", "2.336.0", None, None),
        ("2.336.0", "", None, None),
        ("2.336", "2.336.0", None, None),
    ],
)
def test_version_gap_counts_feature_releases(
    version: str, newest: str, outdated: Optional[bool], behind: Optional[int]
) -> None:
    assert version_gap(version, newest) == (outdated, behind)


def test_newest_version_compares_numbers() -> None:
    names = ["actions-runner-linux-x64-2.99.0.tar.gz", "actions-runner-win-x64-2.336.0.zip", "notes.txt"]
    assert newest_version([RunnerPackage("", "", "", name, None) for name in names]) == "2.336.0"
    assert newest_version([]) == ""


@given(st.integers(0, 1000), st.integers(0, 100))
def test_cheaper_by_name_never_takes_more_requests(names: int, pages_left: int) -> None:
    assert (names if cheaper_by_name(names, pages_left) else pages_left) == min(names, pages_left)


def package(
    architecture: str = "x64", sha256: Optional[str] = DIGEST, os_name: str = "linux"
) -> RunnerPackage:
    file = f"actions-runner-{os_name}-{architecture}-2.400.1.tar.gz"
    return RunnerPackage(os_name, architecture, f"https://example.org/{file}", file, sha256)


@pytest.mark.parametrize(
    ("offered", "pinned", "sha256"),
    [
        ([package(os_name="osx"), package("arm64"), package()], "", DIGEST),
        ([package()], PINNED, DIGEST),
        ([package(sha256=None)], PINNED, PINNED),
    ],
)
def test_choose_release_returns_the_package_for_the_architecture(
    offered: list[RunnerPackage], pinned: str, sha256: str
) -> None:
    url = "https://example.org/actions-runner-linux-x64-2.400.1.tar.gz"
    assert choose_release(offered, "x64", pinned, "o/r") == Release("2.400.1", url, sha256)


@pytest.mark.parametrize(
    ("offered", "words"),
    [
        ([], "no Linux runner for x64"),
        ([package("arm64")], "no Linux runner for x64"),
        ([package(sha256=None)], "without a checksum"),
        ([RunnerPackage("linux", "x64", "u", "runner.tar.gz", DIGEST)], "without a version"),
    ],
)
def test_choose_release_rejects_an_unverified_package(offered: list[RunnerPackage], words: str) -> None:
    with pytest.raises(CiError, match=words):
        choose_release(offered, "x64", "", "the repository o/r")
