"""Disks that are full, broken or read-only, and power cuts."""

from __future__ import annotations

import errno
import functools
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.store import download
from ansible_collections.coldvox.ci.plugins.module_utils.store.artifact import parse

from tests._support.fault_server import FaultServer, install, sha256, wanted, zip_of
from tests._support.store_processes import MODEL, finish, item, leftovers, nothing_half, start, whole

# The system calls that fail, and a part of their paths.
STAGES = {
    "download": ("write", "/partial/"),
    "note of the download": ("rename", "/partial/"),
    "unpack": ("write", "/staging/"),
    "fsync of a file": ("fsync", "/staging/"),
    "receipt": ("write", "/receipts/"),
    "fsync of the receipt": ("fsync", "/receipts/"),
    "publication": ("rename", "/trees/"),
    "fsync of the publication": ("fsync", "/trees"),
    "ref": ("write", "/refs/"),
    "checksums": ("rename", "/checksums.txt"),
    "lock": ("open", "download.lock"),
}
ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


def name_of(where: Any) -> str:
    """Return the path of a descriptor, or of a path."""
    return os.readlink(f"/proc/self/fd/{where}") if isinstance(where, int) else str(where)


def refuse(monkeypatch: pytest.MonkeyPatch, call: str, part: str, number: int) -> list[str]:
    """Let ``call`` fail for paths with ``part``; return the list of failed paths."""
    original: Callable[..., Any] = getattr(os, call)
    refused: list[str] = []

    def failing(first: Any, *rest: Any, **more: Any) -> Any:
        path = name_of(rest[0] if call == "rename" else first)
        if part in path:
            refused.append(path)
            raise OSError(number, os.strerror(number), path)
        return original(first, *rest, **more)

    monkeypatch.setattr(os, call, failing)
    return refused


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("stage", STAGES)
def test_store_install_survives_a_disk_error(
    server: FaultServer, root: Path, monkeypatch: pytest.MonkeyPatch, stage: str, number: int
) -> None:
    """Report the error in one sentence; the same call works once the disk does.

    Visible trees are whole all the time.
    """
    call, part = STAGES[stage]
    with monkeypatch.context() as patch:
        refused = refuse(patch, call, part, number)
        with pytest.raises(CiError) as caught:
            install(root, parse(item(server)))
        assert refused
    message = str(caught.value)
    assert os.strerror(number) in message
    assert "\n" not in message
    assert nothing_half(root)
    assert leftovers(root) == []
    assert install(root, parse(item(server))).results[0].outcome in ("fetched", "linked", "hit", "repaired")
    assert whole(root / "models" / "m")


@pytest.mark.parametrize("stage", ["checksum", "quick look"])
def test_store_fetches_an_unreadable_tree_again(
    server: FaultServer, root: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Treat a file that gives EIO as damaged: its tree is fetched again."""
    install(root, parse(item(server)))
    call, part = {"checksum": ("open", "/big"), "quick look": ("scandir", "/trees/")}[stage]
    original: Callable[..., Any] = getattr(os, call)
    trips: list[str] = []

    def failing(path: Any, *rest: Any, **more: Any) -> Any:
        if part in str(path) and len(trips) < 3:  # first look, second look, and look under the lock
            trips.append(str(path))
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return original(path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        assert install(root, parse(item(server)), full=True).results[0].outcome == "repaired"
    assert trips
    assert whole(root / "models" / "m")


def test_store_reports_missing_inodes(
    server: FaultServer, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_SPARE_BYTES", 0)
    data = zip_of({f"d/f{number}": b"x" for number in range(500)})
    root = small_disk / "store"
    with pytest.raises(CiError) as caught:
        install(root, wanted("x", server.serve("/x.zip", data), data))
    assert "No space left" in str(caught.value)
    assert leftovers(root) == os.listdir(root / "trees") == []
    small = zip_of({"f": b"x"})
    assert install(root, wanted("x", server.serve("/x.zip", small), small)).results[0].outcome == "fetched"


def test_store_refuses_a_staging_area_on_another_file_system(
    server: FaultServer, small_disk: Path, root: Path
) -> None:
    """Refuse a staging area on another file system, because publishing is a rename."""
    (root / "staging").mkdir(parents=True)
    subprocess.run(["mount", "--bind", str(small_disk), str(root / "staging")], check=True)
    try:
        with pytest.raises(CiError) as caught:
            install(root, parse(item(server)))
    finally:
        subprocess.run(["umount", str(root / "staging")], check=True)
    assert "keep all of the store on one file system" in str(caught.value)
    assert os.listdir(root / "trees") == []
    assert install(root, parse(item(server))).results[0].outcome == "fetched"


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Path]:
    places = {name: tmp_path / name for name in ("lower", "upper", "work", "merged")}
    for place in places.values():
        place.mkdir()
    options = ",".join(f"{name}dir={places[name]}" for name in ("lower", "upper", "work"))
    made = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", options, str(places["merged"])],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("cannot mount an overlay here")
    yield places["merged"]
    subprocess.run(["umount", str(places["merged"])], check=True)


def test_store_works_on_an_overlay(server: FaultServer, overlay: Path) -> None:
    assert finish(start(overlay / "store", item(server)))["outcomes"] == ["fetched"]
    assert finish(start(overlay / "store", item(server)))["outcomes"] == ["hit"]
    assert whole(overlay / "store" / "models" / "m")


class Disk:
    """An ext4 in a file, whose power can be cut.

    After a cut the file holds the content that the disk had at that moment.
    """

    def __init__(self, place: Path) -> None:
        self.image, self.mounted = place / "image", place / "mounted"
        self.mounted.mkdir(parents=True)
        with self.image.open("wb") as stream:
            stream.truncate(192 * 2**20)  # the store leaves 64 MiB free for others
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self.image)], check=True)

    def mount(self) -> bool:
        # Only a sync writes the journal, so a power cut loses everything that was not synced.
        command = ["mount", "-o", "loop,commit=300", str(self.image), str(self.mounted)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def umount(self) -> None:
        # Unmount lazily: a failed test then leaves no mount while a process of it still ends.
        subprocess.run(["umount", "--lazy", str(self.mounted)], check=True)

    def cut_power(self, before: Callable[[], object]) -> None:
        """Keep the content of the disk at this moment and drop later writes.

        ``before`` ends the processes that still write.
        """
        kept = self.image.with_suffix(".kept")
        subprocess.run(["cp", "--sparse=auto", str(self.image), str(kept)], check=True)
        before()
        self.umount()
        kept.replace(self.image)
        assert self.mount()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mkfs.ext4"), reason="needs root and mkfs.ext4")
def test_store_survives_a_power_cut_at_any_moment(
    server: FaultServer, tmp_path: Path, runs: int, survived: list[bool]
) -> None:
    """Read every tree after the cut: it is whole, and reported trees are there."""
    chance = random.Random(17)
    server.pages["/m.zip"].rate = 40_000_000
    disk = Disk(tmp_path)
    if not disk.mount():
        pytest.skip("cannot mount a file as a disk here")
    root = disk.mounted / "store"
    try:
        for number in range(max(6, runs // 5)):
            finished = number % 3 == 0
            process = start(root, item(server))
            assert process.stdout is not None
            process.stdout.readline()
            if finished:
                assert finish(process)["outcomes"][0] in ("fetched", "hit", "linked", "repaired")
            else:
                time.sleep(chance.uniform(0.05, 0.4))
                process.send_signal(signal.SIGSTOP)
            disk.cut_power(functools.partial(end, process))
            # Check the trees as a reader sees them, before the store checks them.
            good = nothing_half(root) and (whole(root / "models" / "m") or not finished)
            # The store detects a reboot by the boot id, which is the same here, so it suspects nothing.
            answer = finish(start(root, item(server)))
            again = answer.get("outcomes", [answer.get("error")])[0]
            survived.append(good and again in ("fetched", "linked", "hit") and whole(root / "models" / "m"))
            shutil.rmtree(root)
            os.sync()
    finally:
        disk.umount()
    assert all(survived)


def test_store_checks_free_space_before_it_unpacks(
    server: FaultServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compare the unpacked size and a tenth to spare with the free space."""

    class Little:
        f_bavail, f_frsize, f_flag = len(MODEL) * 2, 1, 0

    with monkeypatch.context() as patch:
        patch.setattr(download, "free_space", lambda _path: 2**40)
        patch.setattr(os, "statvfs", lambda _path: Little)
        data = zip_of({"zeros": bytes(len(MODEL) * 2)})
        with pytest.raises(CiError) as caught:
            install(root, wanted("x", server.serve("/x.zip", data), data))
    assert "No space to unpack x" in str(caught.value)
    assert sha256(data) not in os.listdir(root / "trees")
