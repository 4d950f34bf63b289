from __future__ import annotations

import importlib
from pathlib import Path
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


def test_package_plan_reads_dnf() -> None:
    results = [
        "Installed: jq-1.7.1-10.fc42.x86_64",
        "Installed: gcc-c++-15.0.1-0.3.fc42.x86_64",
        # An upgrade, as DNF 4 and DNF 5 word it.
        "Installed: bash-5.2.37-2.fc42.x86_64",
        "Removed: bash-5.2.37-1.fc42.x86_64",
        "Group c-development installed.",
        "Group development-tools already installed.",
    ]
    assert package_plan({"results": results}) == ["@c-development", "gcc-c++", "jq"]
    assert package_plan({}) == []


def test_package_plan_reads_apt_in_check_mode_and_afterwards() -> None:
    simulated = """\
Reading package lists...
Inst bc (1.07.1-4 Debian:13.1/stable [amd64])
Inst libc6 [2.41-12] (2.41-13 Debian:13.1/stable [amd64])
Inst libgdbm6:i386 (1.24-2 Debian:13.1/stable [i386])
Conf bc (1.07.1-4 Debian:13.1/stable [amd64])
"""
    done = """\
Selecting previously unselected package perl-modules-5.40.
(Reading database ... 9000 files and directories currently installed.)
Preparing to unpack .../bc_1.07.1-4_amd64.deb ...
Selecting previously unselected package libgdbm6:amd64.
Unpacking libc6 (2.41-13) over (2.41-12) ...
"""
    assert package_plan({"stdout": simulated}) == ["bc", "libgdbm6"]
    assert package_plan({"stdout": done}) == ["libgdbm6", "perl-modules-5.40"]


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("dnf5", ["No package {} available.", "must be installed to use check mode"]),
        ("apt", ["No package matching '%s' is available", "must be installed to use check mode"]),
    ],
)
def test_ansible_still_words_it_as_the_role_reads_it(module: str, words: list[str]) -> None:
    source = Path(importlib.import_module(f"ansible.modules.{module}").__file__ or "").read_text()
    for phrase in words:
        assert phrase in source
