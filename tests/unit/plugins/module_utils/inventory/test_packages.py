from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.inventory.packages import (
    missing_packages,
    package_plan,
    package_refusal,
)

POLICY = """\
jq:
  Installed: 1.7.1-6
  Candidate: 1.7.1-6
  Version table:
 *** 1.7.1-6 500
        500 http://deb.debian.org/debian trixie/main amd64 Packages
ydotool:
  Installed: (none)
  Candidate: (none)
  Version table:
libc6:
  Installed: 2.41-12
  Candidate: 2.41-12
"""


@pytest.mark.parametrize(
    ("failure", "missing"),
    [
        ({"failures": ["No package nosuch available.", "No package other available."]}, ["nosuch", "other"]),
        ({"msg": "No package matching 'nosuch' is available"}, ["nosuch"]),
        ({"msg": "No group tools available.", "failures": []}, ["@tools"]),
        ({"msg": "Failed to download metadata for repo 'x'"}, []),
        ({}, []),
    ],
)
def test_missing_packages_reads_messages_of_dnf_and_apt(failure: dict[str, Any], missing: list[str]) -> None:
    assert missing_packages(failure, ["jq", "nosuch", "other", "@tools"]) == missing


def test_missing_packages_follows_apt_policy_alone() -> None:
    failure = {"msg": "No package matching 'nosuch' is available"}
    names = ["jq=1.7*", "libc6:amd64", "ydotool", "nosuch"]
    assert missing_packages(failure, names, POLICY) == ["ydotool", "nosuch"]


def test_package_refusal_names_host_package_and_remedy() -> None:
    said = package_refusal({"msg": "x"}, "laptop-extra", "dnf", ["nosuch"])
    assert said.startswith("The repositories of laptop-extra have no package nosuch; correct the name")
    assert "system_packages_skip_unavailable" in said


def test_package_refusal_quotes_the_package_manager_on_one_line() -> None:
    failure = {"msg": "Depsolve Error\noccurred", "failures": ["a conflicts with b", "x" * 900]}
    said = package_refusal(failure, "laptop-extra", "dnf", [])
    assert said.startswith(
        "dnf on laptop-extra refused to install the packages (Depsolve Error occurred a conf"
    )
    assert "\n" not in said
    assert len(said) < 600
    assert "it gave no reason" in package_refusal({}, "h", "apt", [])


def test_package_plan_reads_dnf_and_apt() -> None:
    assert package_plan({"results": ["Installed: jq-1.7-1.x86_64", "Removed: old-1"]}) == ["jq-1.7-1.x86_64"]
    assert package_plan({"stdout": "Reading lists\nInst jq (1.7)\nInst bc (1.0)\nConf jq (1.7)\n"}) == [
        "bc",
        "jq",
    ]
    assert package_plan({}) == []
