from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from testbed.runner.package import build

EXPECTED = {
    "./config.sh",
    "./run.sh",
    "./env.sh",
    "./safe_sleep.sh",
    "./run-helper.sh.template",
    "./run-helper.cmd.template",
    "./config.cmd",
    "./run.cmd",
    "./bin/Runner.Listener",
    "./bin/Runner.Worker",
    "./bin/Runner.PluginHost",
    "./bin/RunnerService.js",
    "./bin/installdependencies.sh",
    "./bin/runsvc.sh",
    "./bin/actions.runner.service.template",
    "./bin/systemd.svc.sh.template",
    "./bin/update.sh.template",
    "./externals/node20/bin/node",
}
# These are made by configuring or running; a package with such a file would overwrite a registration.
LATER = {"./.runner", "./.credentials", "./.env", "./.path", "./svc.sh", "./runsvc.sh", "./run-helper.sh"}


def test_package_has_the_layout_of_the_original(package: Path) -> None:
    with tarfile.open(package) as archive:
        members = {member.name: member for member in archive.getmembers()}
        names = {f"./{name}" if not name.startswith(".") else name for name in members}
    assert names >= EXPECTED
    assert not names & LATER
    assert not [name for name in names if "__pycache__" in name]
    assert all((member.uid, member.gid) == (0, 0) for member in members.values())
    assert {member.mode for member in members.values()} == {0o755, 0o644}
    for name in ("./config.sh", "./run.sh", "./run-helper.sh.template", "./bin/Runner.Listener"):
        assert members[name].mode == 0o755


def test_package_names_start_with_a_dot_and_have_no_top_directory(package: Path) -> None:
    listed = subprocess.run(["tar", "-tzf", package], capture_output=True, text=True, check=True).stdout
    assert all(line.startswith("./") for line in listed.splitlines())


def test_package_of_the_same_tree_has_the_same_bytes(package: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        build(tmp_path / "deep" / "again.tar.gz")
    finally:
        os.umask(before)
    assert (tmp_path / "deep" / "again.tar.gz").read_bytes() == package.read_bytes()


@pytest.mark.parametrize("version", ["2.336.0", "2.337.1"])
def test_listener_prints_the_version_of_its_package(tmp_path: Path, version: str) -> None:
    build(tmp_path / "p.tar.gz", version=version)
    with tarfile.open(tmp_path / "p.tar.gz") as archive:
        archive.extractall(tmp_path / "runner", filter="data")
    listener = tmp_path / "runner" / "bin" / "Runner.Listener"
    printed = subprocess.run(
        [sys.executable, listener, "--version"], capture_output=True, text=True, check=False
    )
    assert (printed.returncode, printed.stdout) == (0, f"{version}\n")
    # The query must not write logs or compiled code.
    assert not [path for path in (tmp_path / "runner").rglob("*") if path.name in ("_diag", "__pycache__")]
