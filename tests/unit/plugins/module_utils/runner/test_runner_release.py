"""Which runner is installed, and when its age is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import RunnerPackage
from ansible_collections.coldvox.ci.plugins.module_utils.runner.release import (
    Release,
    age_days,
    age_warning,
    choose_release,
)

DIGEST, PINNED = "ab" * 32, "cd" * 32


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
def test_the_package_for_this_machine(offered: list[RunnerPackage], pinned: str, sha256: str) -> None:
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
def test_what_cannot_be_verified_is_refused(offered: list[RunnerPackage], words: str) -> None:
    with pytest.raises(CiError, match=words):
        choose_release(offered, "x64", "", "the repository o/r")


@pytest.mark.parametrize(
    ("age", "limit", "told"),
    [(31.0, 30, True), (30.0, 30, False), (300.0, 0, False), (None, 30, False), (2.0, 1, True)],
)
def test_age_is_told_above_the_limit(age: Optional[float], limit: int, told: bool) -> None:
    assert bool(age_warning(age, limit)) is told


def test_age_is_that_of_the_program(tmp_path: Path) -> None:
    assert age_days(str(tmp_path), 0.0) is None
    program = tmp_path / "bin" / "Runner.Listener"
    program.parent.mkdir()
    program.touch()
    os.utime(program, (86400, 86400))
    assert age_days(str(tmp_path), 86400 * 32.0) == 31
    assert age_days(str(tmp_path), 0.0) == 0
