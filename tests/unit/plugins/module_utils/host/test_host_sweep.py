"""What is swept away, and what never is: everything outside."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.host import sweep

NOBODY = 65534


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def opened(work: Path) -> Iterator[tuple[int, int]]:
    """Descriptors of the work directory and its trash."""
    place = sweep.open_directory(str(work))
    trash = sweep.open_trash(place)
    yield place, trash
    os.close(trash)
    os.close(place)


def never() -> bool:
    return False


def swept(opened: tuple[int, int], out_of_time: Callable[[], bool] = never) -> sweep.Swept:
    sweep.discard_all(*opened, keep=(sweep.TRASH,))
    return sweep.empty(opened[1], out_of_time)


def test_sweep_removes_a_tree_and_keeps_the_targets_of_its_links(
    work: Path, opened: tuple[int, int], tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    (work / "a" / "b").mkdir(parents=True)
    (work / "a" / "b" / "big").write_bytes(b"x" * 8192)
    (work / "a" / "link").symlink_to(outside)
    (work / "a" / "file").symlink_to(outside / "file")
    os.link(outside / "file", work / "a" / "hard")
    os.mkfifo(work / "a" / "pipe")
    done = swept(opened)
    assert (done.removed, done.left) == (7, 0)
    assert done.freed_bytes >= 8192
    assert os.listdir(work) == [sweep.TRASH]
    assert os.listdir(work / sweep.TRASH) == []
    assert (outside / "file").read_text() == "x"


def test_sweep_removes_a_tree_far_deeper_than_the_limit(work: Path, opened: tuple[int, int]) -> None:
    here = os.open(work, os.O_RDONLY)
    for _level in range(1500):  # longer than a path may be, and than Python's own recursion
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert swept(opened).removed == 1500
    assert os.listdir(work / sweep.TRASH) == []


@pytest.mark.parametrize(
    "name",
    ["x" * 255, "\N{SNOWMAN}" * 85, "\N{PILE OF POO}" * 63, "\udcff" * 255],
    ids=["ascii", "three bytes", "four bytes", "no text"],
)
def test_sweep_removes_names_of_the_greatest_length(work: Path, opened: tuple[int, int], name: str) -> None:
    (work / name).touch()
    assert swept(opened).removed == 1
    assert os.listdir(work) == [sweep.TRASH]


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o500, 0o555])
def test_sweep_removes_directories_without_rights(work: Path, opened: tuple[int, int], mode: int) -> None:
    (work / "closed").mkdir()
    (work / "closed" / "file").write_text("x")
    (work / "closed").chmod(mode)
    child = os.fork()
    if child == 0:
        # As a job's account: to root no directory is closed.
        if os.geteuid() == 0:
            for path in (work.parent, work, work / sweep.TRASH, work / "closed", work / "closed" / "file"):
                os.chown(path, NOBODY, NOBODY)
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        os._exit(swept(opened).left)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert os.listdir(work / sweep.TRASH) == []


@pytest.mark.parametrize("plant", [lambda path: path.symlink_to("/"), lambda path: path.write_text("x")])
def test_sweep_replaces_a_file_or_link_named_as_the_trash(
    work: Path, plant: Callable[[Path], object]
) -> None:
    plant(work / sweep.TRASH)
    place = sweep.open_directory(str(work))
    os.close(sweep.open_trash(place))
    os.close(place)
    assert (work / sweep.TRASH).is_dir()
    assert not (work / sweep.TRASH).is_symlink()


def test_sweep_refuses_a_link_as_work_directory(work: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(work)
    with pytest.raises(OSError, match="directory"):
        sweep.open_directory(str(tmp_path / "link"))


def test_sweep_counts_the_entries_left_when_out_of_time(work: Path, opened: tuple[int, int]) -> None:
    for name in "abc":
        (work / name).write_text(name)
    answers = iter([False, True, True, True])
    done = swept(opened, lambda: next(answers))
    assert (done.removed, done.left) == (1, 1)
    assert len(os.listdir(work / sweep.TRASH)) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
def test_sweep_discard_foreign_moves_only_other_users_entries(
    work: Path, opened: tuple[int, int], tmp_path: Path
) -> None:
    for name in ("own/sub", "foreign/sub"):
        (work / name).mkdir(parents=True)
    for name in ("own/mine", "own/roots", "own/sub/roots", "foreign/sub/mine", "foreign/roots"):
        (work / name).write_text(name)
    (work / "own" / "link").symlink_to(tmp_path)
    for name in ("", "own", "own/sub", "own/mine", "foreign/sub", "foreign/sub/mine"):
        os.chown(work / name, NOBODY, NOBODY)
    assert sweep.discard_foreign(*opened, owner=NOBODY, out_of_time=never) == 4
    assert sweep.empty(opened[1], never).left == 0
    left = {str(path.relative_to(work)) for path in work.rglob("*")}
    assert left == {sweep.TRASH, "own", "own/mine", "own/sub"}
    assert tmp_path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_sweep_keeps_a_mount_point_also_of_the_same_file_system(
    work: Path, opened: tuple[int, int], tmp_path: Path
) -> None:
    """As a build of a root file system does, that is given root's rights and dies."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").touch()
    os.chown(tmp_path / "outside" / "file", NOBODY, NOBODY)
    (work / "chroot" / "home").mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "--bind", tmp_path / "outside", work / "chroot" / "home"], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no mount here: {mounted.stderr.decode()}")
    try:
        assert sweep.discard_foreign(*opened, owner=os.geteuid(), out_of_time=never) == 0
        assert swept(opened).left == 1
    finally:
        (home,) = [*work.glob("chroot/home"), *work.glob(f"{sweep.TRASH}/*/home")]
        subprocess.run(["umount", home], check=True)
    assert (tmp_path / "outside" / "file").exists()
