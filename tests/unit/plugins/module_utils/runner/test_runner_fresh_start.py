"""A fresh start between two jobs: what stays, what goes, and what root restores."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import Result
from ansible_collections.coldvox.ci.plugins.module_utils.runner.account import Account
from ansible_collections.coldvox.ci.plugins.module_utils.runner.fresh_start import (
    KEEPABLE,
    Settings,
    count_jobless,
    empty_trash,
    keep_registration,
    make_fresh,
    pause_seconds,
    read_settings,
)
from ansible_collections.coldvox.ci.plugins.module_utils.runner.instance_records import TREE, write_record
from ansible_collections.coldvox.ci.plugins.module_utils.runner.layout import Layout

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root cleans up after another account")

JOB = Account("ci-one", 4242, 4242)
ENTRIES = ["bin", "externals", "run.sh"]
ONCE = Settings(one_job=True)
REGISTRATION = {
    ".runner": b'\xef\xbb\xbf{"agentId": 7, "workFolder": "_work"}',
    ".credentials": b"{}",
    ".credentials_rsaparams": b"key",
}


def as_job(path: Path, content: str = "planted", mode: int = 0o600) -> Path:
    """Create a file, with its parents, as the account of the job would."""
    missing = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(mode)
    for made in [*missing, path]:
        os.chown(made, JOB.uid, JOB.gid)
    return path


def replace(path: Path, make: Callable[[Path], object]) -> None:
    """Put what ``make`` creates at the place of a file or an empty directory."""
    path.rmdir() if path.is_dir() else path.unlink()
    make(path)


def link(target: str) -> Callable[[Path], None]:
    """Return a function that creates a link to ``target``."""
    return lambda path: path.symlink_to(target)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the directory of a registered instance before its first job."""
    root = tmp_path / "one"
    for name in ("", "bin", "externals", ".coldvox"):
        (root / name).mkdir()
    root.chmod(0o1770)
    os.chown(root, 0, JOB.gid)
    (root / "run.sh").write_text("#!/bin/sh\n")
    for name in (".env", ".path"):
        (root / name).write_text("")
    for name, content in REGISTRATION.items():
        (root / name).write_bytes(content)
        os.chown(root / name, JOB.uid, JOB.gid)
    (root / "_home").mkdir(mode=0o700)
    os.chown(root / "_home", JOB.uid, JOB.gid)
    write_record(Layout(str(root)), TREE, {"tree": "x", "entries": ENTRIES})
    keep_registration(Layout(str(root)))
    return root


def names(root: Path) -> set[str]:
    """Return the relative paths below ``root``, without root's own records."""
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if ".coldvox" not in path.relative_to(root).parts
    }


UNTOUCHED = {*ENTRIES, ".env", ".path", *REGISTRATION, "_home"}

PLANTS: dict[str, Callable[[Path], object]] = {
    "a program in the search path": lambda root: as_job(root / "_home/.cargo/bin/bash", mode=0o700),
    "a start file of the shell": lambda root: as_job(root / "_home/.bashrc"),
    "cargo settings in a parent of the workspace": lambda root: as_job(root / ".cargo/config.toml"),
    "cargo settings in the work directory": lambda root: as_job(root / "_work/.cargo/config.toml"),
    "a manifest in a parent of the workspace": lambda root: as_job(root / "Cargo.toml"),
    "git settings": lambda root: as_job(root / "_work/r/r/.git/config", "[core]\nfsmonitor = evil\n"),
    "the tool cache": lambda root: as_job(root / "_work/_tool/node/bin/node"),
    "an action": lambda root: as_job(root / "_work/_actions/actions/checkout/v4/index.js"),
    "a directory at the place of run-helper.sh": lambda root: as_job(root / "run-helper.sh/x"),
    "a new version of the runner": lambda root: as_job(root / "bin.9.9.9/Runner.Listener"),
    "settings of the runner": lambda root: as_job(root / ".setup_info"),
    "a newer registration": lambda root: as_job(root / ".runner_migrated", '{"serverUrl": "http://evil"}'),
    "logs": lambda root: as_job(root / "_diag/Worker_20260101-000000-utc.log"),
    "a directory without rights": lambda root: as_job(root / "_work/locked/x").parent.chmod(0),
    "a deep directory": lambda root: as_job(root / "_home" / "/".join(["deep"] * 60) / "x"),
    "a link to root's file": lambda root: (root / "Link").symlink_to("/etc/passwd"),
    "a link at the place of home": lambda root: replace(root / "_home", link("/etc")),
    "a link at the place of the work directory": lambda root: (root / "_work").symlink_to("/etc"),
}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_fresh_start_leaves_nothing_of_a_job(root: Path, plant: Callable[[Path], object]) -> None:
    plant(root)
    assert names(root) != UNTOUCHED or (root / "_home").is_symlink()
    fresh = make_fresh(Layout(str(root)), JOB, ONCE)
    assert names(root) == UNTOUCHED
    assert not (root / "_home").is_symlink()
    assert (root / "_home").stat().st_uid == JOB.uid
    assert fresh.removed > 0
    assert empty_trash(Layout(str(root)), 10, lambda: 0.0).left == 0
    assert Path("/etc/passwd").exists()


@pytest.mark.parametrize("keep", KEEPABLE)
def test_fresh_start_keeps_what_the_owner_names(root: Path, keep: str) -> None:
    for folders in KEEPABLE.values():
        for folder in folders:
            as_job(root / folder.replace("home/", "_home/").replace("work/", "_work/") / "file")
    for path in (
        "_home/.cargo/bin/git",
        "_home/.cargo/registry/src/x",
        "_home/.cargo/config.toml",
        "_work/x",
    ):
        as_job(root / path)
    make_fresh(Layout(str(root)), JOB, Settings(one_job=True, keep=(keep,)))
    files = {name for name in names(root) - UNTOUCHED if (root / name).is_file()}
    assert files == {
        f"{folder.replace('home/', '_home/').replace('work/', '_work/')}/file" for folder in KEEPABLE[keep]
    }


def test_fresh_start_keeps_no_git_database_of_cargo(root: Path, tmp_path: Path) -> None:
    database, proof = root / "_home/.cargo/git/db/crate-0123456789abcdef", tmp_path / "ran"
    subprocess.run(["git", "init", "--quiet", "--bare", database], check=True)
    git = ["git", "-C", str(database)]
    subprocess.run([*git, "config", "core.sshCommand", f"touch {proof};"], check=True)
    subprocess.run([*git, "fetch", "ssh://nowhere/crate"], capture_output=True, check=False)
    assert proof.exists(), "git runs a program that the database names"
    subprocess.run(["chown", "-R", f"{JOB.uid}:{JOB.gid}", root / "_home/.cargo"], check=True)
    make_fresh(Layout(str(root)), JOB, Settings(True, tuple(KEEPABLE)))
    assert not database.exists()


def test_fresh_start_keeps_no_link_and_no_file_at_the_place_of_a_kept_directory(
    root: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    as_job(victim / "kept/by/others")
    as_job(root / "_home/.cargo/registry/x").unlink()
    (root / "_home/.cargo/registry/index").symlink_to(victim)
    as_job(root / "_work/_tool")
    make_fresh(Layout(str(root)), JOB, Settings(True, ("cargo_registry", "tool_cache")))
    assert not (root / "_home/.cargo/registry/index").is_symlink()
    assert not (root / "_work/_tool").exists()
    assert (victim / "kept/by/others").exists()


@pytest.mark.parametrize("name", REGISTRATION)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text('{"serverUrl": "http://evil"}'),
        lambda path: path.unlink(),
        lambda path: replace(path, Path.mkdir),
        lambda path: replace(path, link("/etc/passwd")),
        lambda path: replace(path, os.mkfifo),
    ],
    ids=["content", "removed", "directory", "link", "pipe"],
)
def test_fresh_start_restores_the_registration(
    root: Path, name: str, spoil: Callable[[Path], object]
) -> None:
    spoil(root / name)
    assert make_fresh(Layout(str(root)), JOB, ONCE).restored == (name,)
    status = os.lstat(root / name)
    assert stat.S_ISREG(status.st_mode)
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (JOB.uid, 0o600)
    assert (root / name).read_bytes() == REGISTRATION[name]


def test_fresh_start_leaves_the_registration_of_a_runner_for_one_job(root: Path) -> None:
    for name in (*REGISTRATION, ""):
        path = root / ".coldvox/registration" / name
        path.unlink() if name else path.rmdir()
    (root / ".credentials").write_text("from GitHub")
    assert make_fresh(Layout(str(root)), JOB, ONCE).restored == ()
    assert (root / ".credentials").read_text() == "from GitHub"


def test_fresh_start_reports_a_job_and_keeps_its_logs_for_root(root: Path) -> None:
    assert not make_fresh(Layout(str(root)), JOB, ONCE).had_job
    as_job(root / "_diag/Runner_1.log", "idle")
    assert not make_fresh(Layout(str(root)), JOB, ONCE).had_job
    as_job(root / "_diag/Runner_2.log", "busy")
    as_job(root / "_diag/Worker_2.log", "failed because")
    os.truncate(as_job(root / "_diag/Worker_3.log"), 2**40)
    assert make_fresh(Layout(str(root)), JOB, ONCE).had_job
    logs = root / ".coldvox/diagnostics"
    assert {path.name: path.read_text() for path in logs.iterdir()} == {
        "Runner_2.log": "busy",
        "Worker_2.log": "failed because",
    }
    assert stat.S_IMODE(logs.stat().st_mode) == 0o700


def test_fresh_start_empties_a_work_directory_elsewhere(root: Path, tmp_path: Path) -> None:
    work = tmp_path / "elsewhere"
    as_job(work / "r/r/file")
    as_job(work / "_tool/node")
    (root / ".coldvox/registration/.runner").write_text(json.dumps({"workFolder": str(work)}))
    make_fresh(Layout(str(root)), JOB, Settings(True, ("tool_cache",)))
    assert names(work) == {"_tool", "_tool/node"}


def test_fresh_start_empties_a_work_directory_on_another_file_system(root: Path) -> None:
    work = Path(f"/dev/shm/coldvox-fresh-start-{os.getpid()}")
    assert os.stat("/dev/shm").st_dev != root.stat().st_dev
    as_job(work / "r/r/file")
    as_job(work / "file")
    (root / ".coldvox/registration/.runner").write_text(json.dumps({"workFolder": str(work)}))
    try:
        make_fresh(Layout(str(root)), JOB, ONCE)
        assert names(work) == set()
    finally:
        work.rmdir()


def test_fresh_start_refuses_an_instance_without_a_list_of_its_files(root: Path) -> None:
    write_record(Layout(str(root)), TREE, {"tree": "x"})
    as_job(root / "_work/x")
    with pytest.raises(CiError, match="converge this host"):
        make_fresh(Layout(str(root)), JOB, ONCE)
    assert (root / "_work/x").exists()


@pytest.mark.parametrize(("jobless", "seconds"), [(0, 0), (1, 5), (2, 10), (4, 40), (7, 300), (10**6, 300)])
def test_pause_grows_with_starts_that_had_no_job(jobless: int, seconds: float) -> None:
    assert pause_seconds(jobless) == seconds


def test_count_jobless_counts_restarts_since_the_last_job(root: Path) -> None:
    layout, counts = Layout(str(root)), iter([1, 2, 3, 4, 5, 0, 1])

    def run(argv: Sequence[str], **_options: Any) -> Result:
        assert argv[:2] == ["systemctl", "show"]
        return Result(0, f"Id=coldvox-runner@one.service\nNRestarts={next(counts)}\n", "")

    lives = [False, False, True, True, False, False, False]
    assert [count_jobless(run, layout, "one", had_job=had_job) for had_job in lives] == [1, 2, 0, 0, 1, 0, 1]


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"one_job": 1, "keep": []}', '{"one_job": true}', '{"one_job": true, "keep": ["bin"]}'],
)
def test_settings_of_the_rhythm_must_be_whole(tmp_path: Path, text: str) -> None:
    (tmp_path / "runner.json").write_text(text)
    with pytest.raises(CiError):
        read_settings(str(tmp_path))


def test_settings_without_a_file_are_the_old_rhythm(tmp_path: Path) -> None:
    assert read_settings(str(tmp_path)) == Settings(one_job=False)
