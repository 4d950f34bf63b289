"""Collecting and verifying while other processes die, read and install."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock
from ansible_collections.coldvox.ci.plugins.module_utils.store.artifact import Artifact
from ansible_collections.coldvox.ci.plugins.module_utils.store.collect import Policy, collect
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import Layout
from ansible_collections.coldvox.ci.plugins.module_utils.store.verify import verify

from tests._support.fault_server import FaultServer, fault_server, install, noise, settings, wanted, zip_of
from tests._support.store_processes import COLLECTOR

MODELS = 6
FILES = {f"top/d{number % 4}/f{number}": noise(5_000, str(number)) for number in range(25)}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def artifacts(server: FaultServer) -> list[Artifact]:
    made = []
    for number in range(MODELS):
        data = zip_of({**FILES, "top/own": noise(50_000, f"model {number}")})
        url = server.serve(f"/m{number}.zip", data)
        made.append(wanted(f"m{number}", url, data, strip_components=1, kind="model"))
    return made


def start(root: Path, **what: Any) -> subprocess.Popen[str]:
    """Start a collector and return when it begins."""
    process = subprocess.Popen(
        [sys.executable, str(COLLECTOR), json.dumps({"paths": sys.path, "root": str(root), **what})],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    # Do not use communicate() alone: an answer that came together with "ready" is in this buffer.
    output = process.stdout.read()
    errors = process.communicate(timeout=120)[1]
    assert "Traceback" not in errors, errors
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


def in_step(root: Path) -> bool:
    """Return whether refs, links, trees and generated files agree, byte by byte."""
    refs = {path.stem: json.loads(path.read_text())["sha256"] for path in (root / "refs").glob("m*.json")}
    listed = json.loads((root / "version-manifest.json").read_text())["artifacts"]
    links = {path.name: path.readlink().name for path in (root / "models").glob("m*")}
    if not refs == links == {name: item["sha256"] for name, item in listed.items()}:
        return False
    checked = subprocess.run(
        ["sha256sum", "--quiet", "--strict", "-c", "checksums.txt"],
        cwd=root,
        capture_output=True,
        check=False,
    )
    empty = (root / "checksums.txt").stat().st_size == 0
    counts = {
        len([p for p in (root / "trees" / digest).rglob("*") if p.is_file()]) for digest in refs.values()
    }
    return (checked.returncode == 0 or empty) and counts <= {len(FILES) + 1}


class Readers(threading.Thread):
    """Thread that reads all model links as jobs do, without a lock, and counts.

    A tree may be absent or vanish while it is read, but it is never published in part: a tree whose path
    still exists afterwards was whole.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self._root = root
        self.stopped = threading.Event()
        self.hits = 0
        self.bad: list[str] = []

    def run(self) -> None:
        while not self.stopped.is_set():
            for number in range(MODELS):
                path = self._root / "models" / f"m{number}"
                try:
                    before = os.stat(path)
                    names = sum(len(files) for _directory, _directories, files in os.walk(f"{path}/"))
                    after = os.stat(path)
                except OSError:
                    continue
                if os.path.samestat(before, after):
                    self.hits += 1
                    if names != len(FILES) + 1:
                        self.bad.append(f"m{number} had {names} files")
            time.sleep(0.002)


@pytest.fixture
def readers(root: Path) -> Iterator[Readers]:
    thread = Readers(root)
    thread.start()
    yield thread
    thread.stopped.set()
    thread.join()
    assert thread.bad == []


def test_collect_survives_sigkill(
    root: Path, artifacts: list[Artifact], readers: Readers, runs: int, survived: list[bool]
) -> None:
    """Kill a collector at any moment; the next collection and installation repair all."""
    install(root, *artifacts)
    process = start(root, policy=[1, 0, 0])
    began = time.monotonic()
    assert sorted(finish(process)["removed"]) == [f"m{n}" for n in range(MODELS)]
    # The time includes the end of the interpreter, so most kills hit the work itself.
    usual = time.monotonic() - began
    chance = random.Random(20251122)
    for number in range(runs):
        install(root, *artifacts)
        process = start(root, policy=[1, 0, 0])
        time.sleep(chance.uniform(0, usual))
        process.kill()
        process.communicate()
        # Collect and install in turn, so that each meets the leftovers.
        if number % 2:
            answer = finish(start(root, policy=[1, 0, 0]))
            good = "error" not in answer and os.listdir(root / "trees") == os.listdir(root / "trash") == []
            good = good and os.listdir(root / "refs") == os.listdir(root / "models") == []
        else:
            install(root, *artifacts)
            good = len(os.listdir(root / "trees")) == MODELS
        survived.append(good and in_step(root) and not readers.bad)
    assert all(survived)
    assert readers.hits > 0


def test_verify_repair_survives_sigkill(
    root: Path, artifacts: list[Artifact], runs: int, survived: list[bool]
) -> None:
    install(root, *artifacts)
    chance = random.Random(20251123)
    for _number in range(max(10, runs // 4)):
        for artifact in artifacts[:3]:
            path = root / "trees" / artifact.sha256 / "own"
            if path.exists():
                path.write_bytes(b"damaged")
        process = start(root, repair=True)
        time.sleep(chance.uniform(0, 0.15))
        process.kill()
        process.communicate()
        answer = finish(start(root, repair=True))
        left = verify(str(root), full=True).corrupt
        survived.append("error" not in answer and not left and in_step(root))
    assert all(survived)


def test_collect_and_install_run_at_the_same_time(
    root: Path, artifacts: list[Artifact], readers: Readers, survived: list[bool]
) -> None:
    """Run four collectors against four installers; the last installation is whole."""
    install(root, *artifacts)
    errors: list[BaseException] = []
    until = time.monotonic() + 4

    def repeat(work: Callable[[], object]) -> None:
        try:
            while time.monotonic() < until:
                work()
                survived.append(True)
        except BaseException as error:
            survived.append(False)
            errors.append(error)

    threads = [
        *(threading.Thread(target=repeat, args=(lambda: install(root, *artifacts),)) for _ in range(4)),
        *(threading.Thread(target=repeat, args=(lambda: collect(str(root), Policy(1)),)) for _ in range(4)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    install(root, *artifacts)
    assert len(os.listdir(root / "trees")) == MODELS
    assert in_step(root)
    assert verify(str(root), full=True).corrupt == ()
    assert readers.hits > 0


def test_collect_keeps_a_model_that_a_job_holds(
    root: Path, artifacts: list[Artifact], survived: list[bool]
) -> None:
    layout = Layout(str(root))
    for number in range(20):
        install(root, *artifacts)
        held = artifacts[number % MODELS]
        with Flock(layout.mutate_lock(held.sha256), shared=True):
            processes = [start(root, policy=[1, 0, 0]) for _number in range(2)]
            for process in processes:
                assert "error" not in finish(process)
            survived.append(os.listdir(root / "trees") == [held.sha256] and in_step(root))
    assert all(survived)


@pytest.mark.parametrize("days", [365, -365, 36500])
def test_collect_removes_nothing_after_a_jump_of_the_clock(
    root: Path, artifacts: list[Artifact], days: int, survived: list[bool]
) -> None:
    from ansible_collections.coldvox.ci.plugins.module_utils.host.clock import boot_id, boottime
    from ansible_collections.coldvox.ci.plugins.module_utils.store.lease import Instant

    for was_collected_before in (True, False):
        install(root, *artifacts)
        if was_collected_before:
            collect(str(root), Policy(0, 30, 0))
        jumped = Instant(boot_id(), boottime(), time.time() + days * 86400)
        done = collect(str(root), Policy(0, 30, 0), clock=jumped._replace)
        survived.append(done.removed == ())
        shutil.rmtree(root)
    assert all(survived)


def test_collect_reports_a_read_only_disk(artifacts: list[Artifact], tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1g,mode=0755", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        store = place / "store"
        install(store, *artifacts[:2])
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        message = finish(start(store, policy=[1, 0, 0]))["error"]
        assert "Read-only file system" in message
        assert len(os.listdir(store / "trees")) == 2
        assert verify(str(store), full=True, settings=settings()).corrupt == ()
    finally:
        subprocess.run(["umount", str(place)], check=True)
