"""The pruning of an instance's records, where its jobs may write any file."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.hooks import spool
from ansible_collections.coldvox.ci.plugins.module_utils.host import process
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import Result
from ansible_collections.coldvox.ci.plugins.module_utils.runner import account

NOBODY = 65534


def test_prune_keeps_only_the_newest(tmp_path: Path) -> None:
    directory = tmp_path / "jobs" / "one"
    directory.mkdir(parents=True)
    for number in range(5):
        path = directory / f"{number}.started.json"
        path.write_text(f'{{"number": {number}}}')
        os.utime(path, (number, number))
    assert spool.prune(str(tmp_path), "one", keep=2) == 3
    assert sorted(os.listdir(directory)) == ["3.started.json", "4.started.json"]
    assert spool.latest(str(tmp_path), "one", "started") == {"number": 4}
    assert spool.latest(str(tmp_path), "one", "completed") is None


def test_prune_removes_directories_and_follows_no_link(tmp_path: Path) -> None:
    directory = tmp_path / "jobs" / "one"
    (directory / "full" / "of" / ".things").mkdir(parents=True)
    (directory / "full" / "of" / "bytes").write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").touch()
    (directory / "link").symlink_to(tmp_path / "elsewhere")
    (directory / "1.started.json").write_text("{}")
    spool.prune(str(tmp_path), "one")
    left = sorted(os.listdir(directory))
    assert left == ["1.started.json"]
    assert (tmp_path / "elsewhere" / "precious").exists()


def test_prune_keeps_only_records(tmp_path: Path) -> None:
    """Anything else uses up the room of the instance."""
    directory = tmp_path / "jobs" / "one"
    directory.mkdir(parents=True)
    stay = ["1.started.json", "1.completed.json"]
    for name in [*stay, "fill", "1.json", ".1.started.json.a", ".1.started.json.b"]:
        (directory / name).write_text("{}")
    (directory / "long.started.json").write_bytes(b" " * 65537)
    (directory / ".long.started.json").write_bytes(b" " * 65537)
    (directory / "closed.started.json").touch(mode=0o000)
    (directory / "link.started.json").symlink_to("1.started.json")
    os.mkfifo(directory / "pipe.started.json")
    (directory / ".1.started.json.a").chmod(0o600)  # the last that was changed: a hook may be at it
    assert spool.prune(str(tmp_path), "one") == 8
    assert sorted(os.listdir(directory)) == sorted([*stay, ".1.started.json.a"])


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, list[Sequence[str]]]]:
    """The spools of two instances of one account, and the calls of systemctl."""
    monkeypatch.setattr(account, "account_of", lambda _name: account.Account("nobody", NOBODY, NOBODY))
    calls: list[Sequence[str]] = []

    def run(argv: Sequence[str], **_options: object) -> Result:
        if argv[0] != "systemctl":
            return process.run(argv)
        calls.append(argv)
        return Result(0, "", "")

    # Not tmp_path: the account may not enter pytest's directories.
    with tempfile.TemporaryDirectory() as state:
        os.chmod(state, 0o755)
        for name in ("one", "two", "one"):
            spool.prepare(state, name, run)
        yield Path(state, "jobs"), calls
        for name in ("one", "two"):
            subprocess.run(["umount", Path(state, "jobs", name)], check=True)


def as_job(script: str) -> subprocess.CompletedProcess[str]:
    """Run ``script`` as the account of the instances."""
    return subprocess.run(
        ["sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
    )


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


@needs_root
@pytest.mark.parametrize(
    "script", ["head -c 64M /dev/zero > fill", "for n in $(seq 20000); do : > $n || exit 1; done"]
)
def test_prepare_bounds_each_instance(made: tuple[Path, list[Sequence[str]]], script: str) -> None:
    """A job that used up names or bytes stopped the records of all instances."""
    jobs, calls = made
    filled = as_job(f"cd {jobs}/one && {script}")
    assert filled.returncode != 0
    assert "No space left on device" in filled.stderr
    assert as_job(f"echo x > {jobs}/two/1.started.json").returncode == 0
    # A unit that watched the hidden directory sees the new one; it is restarted only after a mount.
    assert [call[-1] for call in calls] == ["coldvox-ci-job@one.path", "coldvox-ci-job@two.path"]


@needs_root
def test_prepare_leaves_the_directory_to_the_agent(made: tuple[Path, list[Sequence[str]]]) -> None:
    """A job that closed its spool kept the agent from removing records."""
    directory = made[0] / "one"
    assert (directory.stat().st_mode & 0o7777, directory.stat().st_gid) == (0o1770, NOBODY)
    assert directory.stat().st_uid != NOBODY
    for attempt in (f"chmod 755 {directory}", f"mv {directory} {directory}.away", f"rmdir {directory}"):
        assert as_job(attempt).returncode != 0, attempt
    options = subprocess.run(
        ["findmnt", "-no", "OPTIONS", directory], capture_output=True, text=True, check=True
    ).stdout.split(",")
    assert {"nosuid", "nodev", "noexec"} <= set(options)


def test_prepare_names_a_mount_that_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "account_of", lambda _name: account.Account("nobody", NOBODY, NOBODY))
    with pytest.raises(OSError, match="not permitted") as caught:
        spool.prepare(
            str(tmp_path), "one", lambda *_argv, **_options: Result(32, "", "mount: not permitted.")
        )
    assert caught.value.filename == str(tmp_path / "jobs" / "one")
