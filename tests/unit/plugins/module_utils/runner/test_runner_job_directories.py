"""Directories of jobs with other owners, modes and mounts; as root, with a real tmpfs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host import mounts
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import run
from ansible_collections.coldvox.ci.plugins.module_utils.runner.account import Account
from ansible_collections.coldvox.ci.plugins.module_utils.runner.job_directories import (
    give_back,
    not_owned,
    unusable,
)
from ansible_collections.coldvox.ci.plugins.module_utils.runner.layout import Layout

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user, and mount")
OTHER = 65534
ACCOUNT = Account("ci-one", 12345, 12345) if os.geteuid() == 0 else Account("me", os.geteuid(), os.getegid())


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An instance whose account has used its directories."""
    layout = Layout(str(tmp_path / "one"))
    for path in (layout.home, layout.file("_work/_temp"), layout.file("_work/_actions/x")):
        os.makedirs(path)
    Path(layout.file("_work/_temp/own")).touch()
    for place in (layout.home, layout.file("_work")):
        os.chmod(place, 0o700)
        for folder, _folders, files in os.walk(place):
            for path in (folder, *(os.path.join(folder, name) for name in files)):
                os.chown(path, ACCOUNT.uid, ACCOUNT.gid)
    return layout


def names(layout: Layout) -> set[str]:
    work = Path(layout.file("_work"))
    return {str(path.relative_to(work)) for path in work.rglob("*")} - {"_coldvox_trash"}


def test_directories_of_the_account_are_usable(layout: Layout) -> None:
    assert not_owned(layout, ACCOUNT, "_work") == ""
    assert unusable(layout, ACCOUNT, "_work") == ""
    assert unusable(layout, ACCOUNT, "_never_made") == "", "the runner makes it"


@as_root
def test_a_recursive_chown_is_reported_and_undone(layout: Layout) -> None:
    """pytorch/test-infra issue 8598: a container gave the work directory to root."""
    subprocess.run(["chown", "-R", "root", layout.file("_work")], check=True)
    expected = f"'{layout.file('_work')}' belongs to user id 0 and not to ci-one; converge this host"
    assert unusable(layout, ACCOUNT, "_work").startswith(expected)
    give_back(layout, ACCOUNT, "_work")
    assert unusable(layout, ACCOUNT, "_work") == ""
    assert names(layout) == set(), "what is not the account's could not be removed by its jobs"


@as_root
def test_a_directory_of_others_inside_is_reported_and_removed(layout: Layout) -> None:
    os.chown(layout.file("_work/_temp"), OTHER, OTHER)
    assert f"'{layout.file('_work/_temp')}' belongs to user id {OTHER}" in unusable(layout, ACCOUNT, "_work")
    give_back(layout, ACCOUNT, "_work")
    assert names(layout) == {"_actions", "_actions/x"}
    assert unusable(layout, ACCOUNT, "_work") == ""


@pytest.mark.parametrize("place", ["_work", "_home"])
def test_a_mode_without_rights_is_reported_and_undone(layout: Layout, place: str) -> None:
    os.chmod(layout.file(place), 0o500)
    assert f"'{layout.file(place)}' has the mode 0500" in unusable(layout, ACCOUNT, "_work")
    give_back(layout, ACCOUNT, "_work")
    assert unusable(layout, ACCOUNT, "_work") == ""
    assert "_temp/own" in names(layout)


def test_a_missing_home_is_made(layout: Layout) -> None:
    os.rmdir(layout.home)
    assert "cannot be read (No such file or directory)" in unusable(layout, ACCOUNT, "_work")
    give_back(layout, ACCOUNT, "_work")
    assert unusable(layout, ACCOUNT, "_work") == ""


def test_what_is_no_directory_is_replaced(layout: Layout) -> None:
    os.rename(layout.file("_work"), layout.file("away"))
    Path(layout.file("_work")).touch()
    os.chown(layout.file("_work"), ACCOUNT.uid, ACCOUNT.gid)
    assert "is no directory" in unusable(layout, ACCOUNT, "_work")
    give_back(layout, ACCOUNT, "_work")
    assert unusable(layout, ACCOUNT, "_work") == ""


def test_a_link_is_not_followed(layout: Layout, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o500)
    (elsewhere / "precious").touch()
    os.rename(layout.file("_work"), layout.file("away"))
    os.symlink(elsewhere, layout.file("_work"))
    assert unusable(layout, ACCOUNT, "_work") == "", "a person may have put it there"
    give_back(layout, ACCOUNT, "_work")
    assert elsewhere.stat().st_mode & 0o777 == 0o500
    assert (elsewhere / "precious").exists()


def test_an_outer_work_directory_that_is_none_is_left_to_a_person(layout: Layout, tmp_path: Path) -> None:
    place = tmp_path / "outer"
    place.touch()
    assert "is no directory" in unusable(layout, ACCOUNT, str(place))
    with pytest.raises(CiError, match=r"cannot be used as a directory of jobs .*; move it away"):
        give_back(layout, ACCOUNT, str(place))


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A directory where a test may mount; what it mounts is unmounted."""
    place = tmp_path / "mount ed"
    place.mkdir()
    yield place
    while os.path.ismount(place):
        subprocess.run(["umount", "--lazy", place], check=True)


def mount(place: Path, options: str) -> None:
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "test", place], check=False)
    if done.returncode:
        pytest.skip("this machine does not let root mount")


@as_root
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("size=256m,noexec", "is mounted with noexec, so no program or library in"),
        ("size=256m,ro", "is mounted read-only; look at 'journalctl -k'"),
        ("size=16m", "has less than 64 MiB free; make room there"),
        ("size=256m,nr_inodes=1", "has no free inodes; remove files there"),
    ],
)
def test_a_mount_that_jobs_cannot_use_is_named(
    layout: Layout, mounted: Path, options: str, expected: str
) -> None:
    mount(mounted, f"{options},uid={ACCOUNT.uid},mode=0700")
    reason = unusable(layout, ACCOUNT, str(mounted))
    assert reason.startswith(f"its jobs cannot work in '{mounted}', because '{mounted}' ")
    assert expected in reason
    assert mounts.find_mount(str(mounted)).point == str(mounted)


@as_root
def test_a_mount_of_another_owner_is_left_to_a_person(layout: Layout) -> None:
    work = Path(layout.file("_work"))
    mount(work, "size=256m")
    try:
        (work / "precious").touch()
        with pytest.raises(CiError, match=f"is a mount point of user id 0; run 'chown ci-one {work}'"):
            give_back(layout, ACCOUNT, "_work")
        assert (work / "precious").exists()
    finally:
        subprocess.run(["umount", work], check=True)


@as_root
def test_run_names_a_mount_with_noexec(mounted: Path) -> None:
    """ansible-lockdown/RHEL9-CIS issue 450: "Permission denied" is all that the kernel says."""
    mount(mounted, "size=16m,noexec")
    program = mounted / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    done = run([str(program)])
    assert done.status == 126
    assert f"'{mounted}' is mounted with noexec" in done.stderr
    assert f"mount -o remount,exec {mounted}" in done.stderr


def test_run_explains_a_program_that_cannot_run(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF of nothing")
    program.chmod(0o755)
    assert run([str(program)])[::2] == (126, f"{program}: Exec format error")
    program.write_text("#!/nowhere/interpreter\n")
    assert run([str(program)])[::2] == (127, f"{program}: its loader or interpreter is not found")
    assert run([f"{tmp_path}/none"])[::2] == (127, f"{tmp_path}/none: not found")
    program.chmod(0o644)
    assert run([str(program)])[::2] == (126, f"{program}: Permission denied")
