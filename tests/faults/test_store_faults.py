from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Optional

import pytest

from tests._support.fault_server import FaultServer, noise, sha256, tar_of, zip_of
from tests._support.store_processes import DIGEST, FILES, MODEL, WORKER, finish, item, start, whole


class Reader(threading.Thread):
    """Thread that reads the model as a job would; ``bad`` must stay empty."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self._root = root
        self.stopped = threading.Event()
        self.looks = self.hits = 0
        self.bad: list[str] = []

    def run(self) -> None:
        while not self.stopped.wait(0.002):
            self.looks += 1
            try:
                directory = os.open(self._root / "models" / "m", os.O_RDONLY | os.O_DIRECTORY)
            except OSError:
                continue
            try:
                # Read by one descriptor, like a program that has opened its model.
                names = {
                    name for _path, _dirs, files in os.walk(f"/proc/self/fd/{directory}") for name in files
                }
                if names != {name.rpartition("/")[2] for name in FILES}:
                    self.bad.append(f"saw {len(names)} of {len(FILES)} files")
                self.hits += 1
            finally:
                os.close(directory)


def test_store_install_survives_sigkill_at_any_moment(
    server: FaultServer, root: Path, runs: int, survived: list[bool]
) -> None:
    """Kill at any moment: readers see whole models and the next call converges.

    Every third time the store starts empty.
    """
    server.pages["/m.zip"].rate = 40_000_000
    begun = time.monotonic()
    assert finish(start(root, item(server)))["outcomes"] == ["fetched"]
    # "ready" comes after the start of the interpreter and all imports; then each moment is equally likely.
    usual = max(0.1, time.monotonic() - begun)
    shutil.rmtree(root)
    reader = Reader(root)
    reader.start()
    chance = random.Random(20251120)
    for number in range(runs):
        process = start(root, item(server))
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, usual * 0.7))
        process.kill()
        process.communicate()
        visible = list((root / "trees").glob("*")) if root.exists() else []
        partial = [tree for tree in visible if not whole(tree)]
        converged = True
        if number % 3 == 0:
            answer = finish(start(root, item(server)))
            converged = answer["outcomes"][0] in ("fetched", "linked", "hit")
            leftovers = os.listdir(root / "staging") + os.listdir(root / "trash")
            converged = converged and whole(root / "models" / "m") and not leftovers
            subprocess.run(["sha256sum", "--quiet", "-c", "checksums.txt"], cwd=root, check=True)
            reader.stopped.set()
            reader.join()
            assert not reader.bad
            shutil.rmtree(root)
            reader = Reader(root)
            reader.start()
        survived.append(not partial and converged)
    reader.stopped.set()
    assert not reader.bad
    assert all(survived)


def test_store_repair_survives_sigkill(
    server: FaultServer, root: Path, runs: int, survived: list[bool]
) -> None:
    finish(start(root, item(server)))
    chance = random.Random(20251121)
    for _number in range(max(10, runs // 4)):
        (root / "trees" / DIGEST / "big").write_bytes(b"damaged")
        process = start(root, item(server))
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        process.communicate()
        finish(start(root, item(server)))
        survived.append(whole(root / "models" / "m"))
    assert all(survived)


def test_store_downloads_an_artifact_once_for_eight_processes(
    server: FaultServer, root: Path, survived: list[bool]
) -> None:
    for _round in range(3):
        server.requests.clear()
        server.pages["/m.zip"].rate = 3_000_000
        processes = [start(root, item(server)) for _number in range(8)]
        outcomes = sorted(finish(process)["outcomes"][0] for process in processes)
        survived.append(server.count("/m.zip") == 1 and outcomes[0] == "fetched")
        assert set(outcomes[1:]) <= {"hit", "linked"}
        assert outcomes.count("fetched") == 1
        assert whole(root / "models" / "m")
        shutil.rmtree(root)
    assert all(survived)


def test_store_installs_eight_artifacts_in_eight_processes(server: FaultServer, root: Path) -> None:
    items = []
    for number in range(8):
        data = tar_of({"f": noise(300_000, str(number))})
        url = server.serve(f"/{number}.tar.gz", data, rate=600_000)
        items.append({"name": f"a{number}", "url": url, "sha256": sha256(data)})
    processes = [start(root, artifact) for artifact in items]
    assert [finish(process)["outcomes"] for process in processes] == [["fetched"]] * 8
    assert finish(start(root, *items))["outcomes"] == ["hit"] * 8
    listed = json.loads((root / "version-manifest.json").read_text())["artifacts"]
    assert sorted(listed) == [artifact["name"] for artifact in items]
    subprocess.run(["sha256sum", "--quiet", "-c", "checksums.txt"], cwd=root, check=True)


def test_store_waiter_continues_the_download_of_a_dead_process(server: FaultServer, root: Path) -> None:
    server.pages["/m.zip"].rate = 1_500_000
    first = start(root, item(server))
    while not server.requests:
        time.sleep(0.01)
    time.sleep(0.5)
    waiting = start(root, item(server))
    time.sleep(0.5)
    first.kill()
    first.communicate()
    answer = finish(waiting)
    assert answer["outcomes"] == ["fetched"]
    # It continued the download of the other process.
    assert 0 < answer["received"] < len(MODEL)
    assert whole(root / "models" / "m")


def test_store_waiter_names_a_stopped_downloader(server: FaultServer, root: Path) -> None:
    import signal

    server.pages["/m.zip"].rate = 1_000_000
    first = start(root, item(server))
    while not list((root / "progress").glob("*.json")) if root.exists() else True:
        time.sleep(0.02)
    first.send_signal(signal.SIGSTOP)
    try:
        message = finish(start(root, item(server), timeout_seconds=0.2))["error"]
        assert f"because process {first.pid} (" in message
    finally:
        first.send_signal(signal.SIGCONT)
    assert finish(first)["outcomes"] == ["fetched"]


def used_bytes(place: Path) -> int:
    status = os.statvfs(place)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


@pytest.mark.parametrize("when", ["known before", "download", "unpack"])
def test_store_publishes_nothing_on_a_full_disk(
    server: FaultServer, small_disk: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publish nothing, give the space back, and converge with more space."""
    data, more = {
        "known before": (zip_of({"f": noise(6_000_000)}), {}),
        "download": (zip_of({"f": noise(6_000_000)}), {"length": -1}),
        "unpack": (tar_of({"f": noise(300_000), "zeros": bytes(40_000_000)}), {}),
    }[when]
    form = "tar" if when == "unpack" else "zip"
    url = server.serve("/x", data, **more)
    root = small_disk / "store"
    wanted = {"name": "x", "url": url, "sha256": sha256(data), "format": form}
    # The reserve for other programs is larger than this disk.
    spare = "ansible_collections.coldvox.ci.plugins.module_utils.store.download._SPARE_BYTES"
    monkeypatch.setattr(spare, 0)
    from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
    from ansible_collections.coldvox.ci.plugins.module_utils.store.artifact import parse

    from tests._support.fault_server import install

    with pytest.raises(CiError) as caught:
        install(root, parse(wanted))
    message = str(caught.value)
    assert message.startswith("Artifact x: ")
    assert "no space" in message.lower()
    assert "free space there" in message
    assert os.listdir(root / "trees") == os.listdir(root / "staging") == os.listdir(root / "partial") == []
    assert used_bytes(small_disk) < 200_000
    small = zip_of({"f": noise(1000)})
    server.serve("/x", small)
    report = install(root, parse({**wanted, "sha256": sha256(small), "format": "zip"}))
    assert report.results[0].outcome == "fetched"


def test_store_reports_a_read_only_file_system(server: FaultServer, small_disk: Path) -> None:
    root = small_disk / "store"
    url = server.serve("/s", b"small\n")
    small = {"name": "s", "url": url, "sha256": sha256(b"small\n")}

    def limited(*artifacts: dict[str, Any]) -> dict[str, Any]:
        return finish(start(root, *artifacts))

    from ansible_collections.coldvox.ci.plugins.module_utils.store import download
    from ansible_collections.coldvox.ci.plugins.module_utils.store.artifact import parse

    from tests._support.fault_server import install

    before, download._SPARE_BYTES = download._SPARE_BYTES, 0
    try:
        install(root, parse(small))
    finally:
        download._SPARE_BYTES = before
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    message = limited({**small, "name": "other", "url": url + "x", "sha256": sha256(b"else")})["error"]
    assert "Read-only file system" in message
    assert "\n" not in message
    hit = limited(small)
    assert hit.get("outcomes") == ["hit"], hit
    assert (root / "trees" / sha256(b"small\n") / "s").read_bytes() == b"small\n"


def test_store_reports_a_limit_on_file_sizes(server: FaultServer, root: Path) -> None:
    """Fail with EFBIG in the middle of the download, as a quota would with EDQUOT."""
    import signal

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    message = finish(start(root, item(server), preexec_fn=limit))["error"]
    assert "File too large" in message
    assert os.listdir(root / "trees") == os.listdir(root / "partial") == []
    assert finish(start(root, item(server)))["outcomes"] == ["fetched"]


def test_store_unpacks_a_hundred_thousand_tiny_files(server: FaultServer, root: Path) -> None:
    count = int(os.environ.get("COLDVOX_FAULT_FILES", "20000"))
    data = tar_of({f"d{number % 100}/f{number}": b"x" for number in range(count)})
    wanted = {"name": "tiny", "url": server.serve("/t.tar.gz", data), "sha256": sha256(data)}
    assert finish(start(root, wanted))["outcomes"] == ["fetched"]
    assert finish(start(root, wanted))["outcomes"] == ["hit"]
    tree = root / "trees" / sha256(data)
    assert sum(len(files) for _path, _dirs, files in os.walk(tree)) == count


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become a job's user")
def test_store_tree_cannot_be_altered_by_a_job(server: FaultServer, root: Path) -> None:
    finish(start(root, item(server)))
    for directory in (root.parent, *root.parent.parents[:2]):
        directory.chmod(0o755)
    model = root / "models" / "m"
    attempts = [
        ["sh", "-c", f"echo evil > {model}/big"],
        ["sh", "-c", f"echo evil > {model}/new"],
        ["rm", "-f", f"{model}/big"],
        ["mv", str(root / "trees" / DIGEST), str(root / "trees" / "gone")],
        ["chmod", "777", f"{model}/big"],
        ["ln", "-sfn", "/tmp", str(model)],
        ["sh", "-c", f"echo evil > {root}/checksums.txt"],
        ["sh", "-c", f": > {root}/locks/{DIGEST}.mutate.lock"],
        ["sh", "-c", f": < {root}/locks/{DIGEST}.download.lock"],
    ]
    for attempt in attempts:
        done = subprocess.run(
            attempt, user=65534, group=65534, extra_groups=[], capture_output=True, check=False
        )
        assert done.returncode != 0, attempt
    readable = subprocess.run(
        ["cat", f"{model}/big"], user=65534, group=65534, capture_output=True, check=True
    )
    assert hashlib.sha256(readable.stdout).hexdigest() == sha256(FILES["top/big"])


def traced(root: Path, wanted: dict[str, Any], output: Path) -> Optional[list[str]]:
    """Return the important system calls of an installation.

    None where they cannot be traced.
    """
    if not shutil.which("strace"):
        return None
    request = {"paths": sys.path, "root": str(root), "artifacts": [wanted], "settings": {}}
    calls = "fsync,fdatasync,syncfs,rename,renameat,renameat2,symlinkat,openat,mkdir"
    done = subprocess.run(
        [
            *("strace", "-f", "-y", "-o", str(output), "-e", f"trace={calls}"),
            *(sys.executable, str(WORKER), json.dumps(request)),
        ],
        capture_output=True,
        check=False,
    )
    return output.read_text(errors="replace").splitlines() if done.returncode == 0 else None


def position(lines: list[str], *words: str) -> int:
    """Return the number of the first line with all ``words``; fail without one."""
    return next(number for number, line in enumerate(lines) if all(word in line for word in words))


def test_store_install_orders_its_system_calls(server: FaultServer, root: Path, tmp_path: Path) -> None:
    """Sync content before the receipt, rename after both, and link at the end."""
    lines = traced(root, item(server), tmp_path / "trace")
    if lines is None:
        pytest.skip("system calls cannot be traced here")
    synced = [number for number, line in enumerate(lines) if "fsync(" in line and "/staging/" in line]
    files = [number for number in synced if "/big>" in lines[number] or "/d" in lines[number]]
    receipt = position(lines, "rename", f"/receipts/{DIGEST}.json")
    publish = position(lines, "rename", "/staging/", f"/trees/{DIGEST}")
    parent = next(n for n, line in enumerate(lines) if n > publish and "fsync(" in line and "/trees>" in line)
    ref = position(lines, "rename", "/refs/m.json")
    link = position(lines, "rename", '"m"')
    assert len(files) >= len(FILES)
    assert max(synced) < receipt < publish < parent < ref < link
    assert any("fsync(" in line and "/receipts>" in line for line in lines[receipt:publish])
