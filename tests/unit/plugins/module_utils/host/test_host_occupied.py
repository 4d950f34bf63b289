"""The space of a job's files, as du(1) counts it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.host import occupied

MIB = 1024 * 1024
NO_OWNER = 2**31
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount and make files of another user")


def never(_total: int) -> bool:
    return False


def counted(path: Path, enough: Callable[[int], bool] = never, keeper: int = NO_OWNER) -> int:
    return occupied.tree_bytes(str(path), keeper, enough)


def du(path: Path) -> int:
    """What du(1) says of the content of ``path``, on one file system."""
    words = ["du", "--summarize", "--one-file-system", "--block-size=1", "--", *map(str, path.iterdir())]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return sum(int(line.split("\t")[0]) for line in done.stdout.splitlines())


def written(path: Path, size: int = MIB) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    return path


def test_tree_bytes_agrees_with_du(tmp_path: Path) -> None:
    first = written(tmp_path / "tree/a/b/file", 3 * MIB)
    os.link(first, tmp_path / "tree/a/again")
    written(tmp_path / "tree/c/other", 12345)
    (tmp_path / "tree/c/link").symlink_to("x" * 2000)  # too long for an inode, so it has a block
    with open(tmp_path / "tree/hole", "wb") as sparse:
        sparse.truncate(100 * MIB)
        sparse.write(b"x")
    assert 3 * MIB < counted(tmp_path / "tree") < 4 * MIB
    assert counted(tmp_path / "tree") == du(tmp_path / "tree")


def test_tree_bytes_counts_no_target_of_a_link(tmp_path: Path) -> None:
    written(tmp_path / "outside/file")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/directory").symlink_to(tmp_path / "outside")
    (tmp_path / "tree/file").symlink_to(tmp_path / "outside/file")
    assert counted(tmp_path / "tree") < 0.1 * MIB
    with pytest.raises(OSError, match=r"directory|loop|symbolic"):
        counted(tmp_path / "tree/directory")


def test_tree_bytes_counts_files_without_content(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / str(number)).touch()
    assert counted(tmp_path) == 1000 * 4096


@as_root
def test_tree_bytes_leaves_out_what_the_keeper_has_at_the_top(tmp_path: Path) -> None:
    written(tmp_path / "tree/bin/program")
    own = written(tmp_path / "tree/_home/file")
    below = written(tmp_path / "tree/_home/of_the_keeper")
    for path in (own, own.parent):
        os.chown(path, 65534, 65534)
    assert (
        counted(tmp_path / "tree", keeper=os.geteuid())
        == du(tmp_path / "tree") - du(tmp_path / "tree/bin") - 4096
    )
    assert below.exists()


@as_root
def test_tree_bytes_stays_on_its_mount(tmp_path: Path) -> None:
    """A bind mount has the device number of the tree, so du would count it."""
    written(tmp_path / "outside/file", 5 * MIB)
    written(tmp_path / "tree/file")
    (tmp_path / "tree/mounted").mkdir()
    script = 'mount --bind "$1/outside" "$1/tree/mounted" && exec "$0" -c "$2" "$1/tree"'
    code = (
        "import sys; from ansible_collections.coldvox.ci.plugins.module_utils.host import occupied; "
        "print(occupied.tree_bytes(sys.argv[1], -1, lambda total: False))"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, sys.executable, str(tmp_path), code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert MIB <= int(done.stdout) < 2 * MIB


def test_tree_bytes_stops_when_that_is_enough(tmp_path: Path) -> None:
    for number in range(5000):
        (tmp_path / str(number)).touch()
    totals: list[int] = []

    def enough(total: int) -> bool:
        totals.append(total)
        return total > 8 * MIB

    assert counted(tmp_path, enough) == totals[-1] == 3 * 1024 * 4096
    assert len(os.listdir("/proc/self/fd")) < 100


def test_tree_bytes_of_a_tree_too_deep_is_immeasurable(tmp_path: Path) -> None:
    """Deeper than any path can name; a job can make it step by step."""
    folder, name = os.open(tmp_path, os.O_RDONLY), "d" * 20
    for _ in range(400):
        os.mkdir(name, dir_fd=folder)
        below = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    before = len(os.listdir("/proc/self/fd"))
    assert counted(tmp_path) == occupied.IMMEASURABLE
    assert len(os.listdir("/proc/self/fd")) == before
    subprocess.run(["rm", "-rf", str(tmp_path / name)], check=True)


def test_tree_bytes_survives_a_job_that_changes_the_tree(tmp_path: Path) -> None:
    written(tmp_path / "tree/stays")
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            os.makedirs(tmp_path / "tree/a/b", exist_ok=True)
            (tmp_path / "tree/a/b/file").write_bytes(b"x")
            (tmp_path / "tree/a").rename(tmp_path / "moved")
            (tmp_path / "tree/a").symlink_to("/")
            (tmp_path / "tree/a").unlink()
            subprocess.run(["rm", "-rf", str(tmp_path / "moved")], check=True)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        sizes = [counted(tmp_path / "tree") for _ in range(300)]
    finally:
        stop.set()
        changing.join()
    assert MIB <= min(sizes) <= max(sizes) < 1.1 * MIB


def test_unlinked_bytes_counts_open_files_without_a_name() -> None:
    own = [os.getpid()]
    before = occupied.unlinked_bytes(own, never)
    with tempfile.TemporaryFile() as first, tempfile.NamedTemporaryFile() as named:
        for file in (first, named):
            file.write(os.urandom(MIB))
            file.flush()
        again = os.dup(first.fileno())
        try:
            assert occupied.unlinked_bytes(own, never) - before == MIB
            assert occupied.unlinked_bytes(own * 2, never) - before == MIB
        finally:
            os.close(again)
    assert occupied.unlinked_bytes(own, never) == before
    assert occupied.unlinked_bytes([2**22 + 1], never) == 0


def test_tree_bytes_of_many_files_takes_little_memory_and_time(tmp_path: Path) -> None:
    for number in range(20000):
        os.close(os.open(tmp_path / str(number), os.O_CREAT | os.O_WRONLY))
    began = time.process_time()
    assert counted(tmp_path) == 20000 * 4096
    assert time.process_time() - began < 2
