"""Disks that are full, broken, read-only or lose power: nothing half is published, and the space returns."""

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

from tests.faults.processes import MODEL, finish, item, leftovers, nothing_half, start, whole
from tests.faults.support import FaultServer, install, sha256, wanted, zip_of

# Where the disk refuses: the system call, and what its path must hold.
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
    """Let the system call ``call`` fail for paths with ``part``; return the list of those that did."""
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
def test_13_15_16_the_disk_refuses(
    server: FaultServer, root: Path, monkeypatch: pytest.MonkeyPatch, stage: str, number: int
) -> None:
    """One sentence says so; what is visible is whole; once the disk is well the same call converges."""
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
def test_15_what_was_published_cannot_be_read(
    server: FaultServer, root: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """A file that gives EIO is a damaged one: its tree is fetched again."""
    install(root, parse(item(server)))
    call, part = {"checksum": ("open", "/big"), "quick look": ("scandir", "/trees/")}[stage]
    original: Callable[..., Any] = getattr(os, call)
    trips: list[str] = []

    def failing(path: Any, *rest: Any, **more: Any) -> Any:
        if part in str(path) and len(trips) < 3:  # looked at, looked at again, and under the lock
            trips.append(str(path))
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return original(path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        assert install(root, parse(item(server)), full=True).results[0].outcome == "repaired"
    assert trips
    assert whole(root / "models" / "m")


def test_14_no_inodes_left(server: FaultServer, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_SPARE_BYTES", 0)
    data = zip_of({f"d/f{number}": b"x" for number in range(500)})
    root = small_disk / "store"
    with pytest.raises(CiError) as caught:
        install(root, wanted("x", server.serve("/x.zip", data), data))
    assert "No space left" in str(caught.value)
    assert leftovers(root) == os.listdir(root / "trees") == []
    small = zip_of({"f": b"x"})
    assert install(root, wanted("x", server.serve("/x.zip", small), small)).results[0].outcome == "fetched"


def test_18_part_of_the_store_on_another_file_system(
    server: FaultServer, small_disk: Path, root: Path
) -> None:
    """Publishing is one rename, so a staging area that was mounted elsewhere is an error that says so."""
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


def test_18_a_store_on_an_overlay(server: FaultServer, overlay: Path) -> None:
    assert finish(start(overlay / "store", item(server)))["outcomes"] == ["fetched"]
    assert finish(start(overlay / "store", item(server)))["outcomes"] == ["hit"]
    assert whole(overlay / "store" / "models" / "m")


class Disk:
    """An ext4 in a file, whose power can be cut: what the file holds then is what was on the disk."""

    def __init__(self, place: Path) -> None:
        self.image, self.mounted = place / "image", place / "mounted"
        self.mounted.mkdir(parents=True)
        with self.image.open("wb") as stream:
            stream.truncate(192 * 2**20)  # the store leaves 64 MiB free for others
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self.image)], check=True)

    def mount(self) -> bool:
        # The journal is written only on a sync: a power cut then loses all that was not synced.
        command = ["mount", "-o", "loop,commit=300", str(self.image), str(self.mounted)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def umount(self) -> None:
        # Lazy, so that a test that fails leaves no mount behind while one of its processes still ends.
        subprocess.run(["umount", "--lazy", str(self.mounted)], check=True)

    def cut_power(self, before: Callable[[], object]) -> None:
        """Keep what is on the disk at this moment and forget the rest; ``before`` ends who still writes."""
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
def test_17_a_power_cut_at_any_moment(
    server: FaultServer, tmp_path: Path, runs: int, survived: list[bool]
) -> None:
    """A tree that is there after the cut has all its bytes; one that was reported installed is there."""
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
            # What a reader would find, before anything of ours has looked at it.
            good = nothing_half(root) and (whole(root / "models" / "m") or not finished)
            # The store itself knows another boot by its id; here the boot is the same and nothing is suspect.
            answer = finish(start(root, item(server)))
            again = answer.get("outcomes", [answer.get("error")])[0]
            survived.append(good and again in ("fetched", "linked", "hit") and whole(root / "models" / "m"))
            shutil.rmtree(root)
            os.sync()
    finally:
        disk.umount()
    assert all(survived)


def test_13_the_room_is_known_before(
    server: FaultServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unpacked size is asked for before anything is unpacked, with a tenth to spare."""

    class Little:
        f_bavail, f_frsize = len(MODEL) * 2, 1

    with monkeypatch.context() as patch:
        patch.setattr(download, "free_space", lambda _path: 2**40)
        patch.setattr(os, "statvfs", lambda _path: Little)
        data = zip_of({"zeros": bytes(len(MODEL) * 2)})
        with pytest.raises(CiError) as caught:
            install(root, wanted("x", server.serve("/x.zip", data), data))
    assert "No space to unpack x" in str(caught.value)
    assert sha256(data) not in os.listdir(root / "trees")
