"""Processes that die, stop, misjudge the time or cannot lock."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests._support.fault_server import FaultServer, sha256
from tests._support.store_models import snapshot
from tests._support.store_processes import (
    DIGEST,
    FILES,
    MODEL,
    finish,
    item,
    leftovers,
    nothing_half,
    start,
    whole,
)

CHECKOUT = Path(__file__).resolve().parents[2]
STEPS = (
    "download:Download._begin",
    "download:Download._read",
    "fetch:unpack",
    "staging:Staging.file",
    "staging:Staging.sync",
    "index:Index.write_receipt",
    "fetch:Fetcher._publish",
    "index:Index.write_ref",
    "links:swap",
    "index:Index.regenerate",
)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_store_install_survives_sigkill_around_a_step(
    server: FaultServer, root: Path, step: str, when: str
) -> None:
    killed = start(root, item(server), sabotage=f"{when}:{step}")
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert nothing_half(root)
    # The next run fetches the artifact after an early kill, and uses the tree that exists after a late kill.
    assert finish(start(root, item(server)))["outcomes"][0] in ("fetched", "linked", "hit")
    assert whole(root / "models" / "m")
    assert leftovers(root) == []
    subprocess.run(["sha256sum", "--quiet", "-c", "checksums.txt"], cwd=root, check=True)


@pytest.mark.parametrize("when", ["before", "after"])
def test_store_stream_unzip_survives_sigkill(server: FaultServer, root: Path, when: str) -> None:
    """Unpack before verification: no reader sees the files, the next run removes them."""
    server.pages["/m.zip"].rate = 500_000
    killed = start(root, item(server), sabotage=f"{when}:stream_unzip:StreamUnzip._unpacked")
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    server.pages["/m.zip"].rate = None
    assert os.listdir(root / "staging")
    assert os.listdir(root / "trees") == os.listdir(root / "receipts") == []
    assert finish(start(root, item(server)))["outcomes"] == ["fetched"]
    assert whole(root / "models" / "m")
    assert leftovers(root) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_store_install_survives_the_signal_of_a_person(
    server: FaultServer, root: Path, how: signal.Signals, runs: int, survived: list[bool]
) -> None:
    chance = random.Random(int(how))
    server.pages["/m.zip"].rate = 20_000_000
    for _number in range(max(2, runs // 10)):
        process = start(root, item(server))
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.3))
        process.send_signal(how)
        process.communicate(timeout=60)
        good = nothing_half(root)
        survived.append(good and finish(start(root, item(server)))["outcomes"][0] != "repaired")
        subprocess.run(["rm", "-rf", str(root)], check=True)
    assert all(survived)


@pytest.mark.parametrize(
    "note",
    [
        {"pid": 1, "start": 0, "host": "here", "purpose": "fetching m", "since": "long ago"},
        {"pid": os.getpid(), "start": 1, "host": "here", "purpose": "a reused pid", "since": "long ago"},
        {"pid": 7, "start": 7, "host": "another.example", "purpose": "elsewhere", "since": "long ago"},
    ],
    ids=["pid 1", "pid reused", "another host"],
)
def test_store_ignores_a_stale_lock_file(server: FaultServer, root: Path, note: dict[str, object]) -> None:
    (root / "locks").mkdir(parents=True)
    for name in (f"{DIGEST}.download.lock", "refs.lock"):
        (root / "locks" / name).write_text(json.dumps(note))
    began = time.monotonic()
    assert finish(start(root, item(server)))["outcomes"] == ["fetched"]
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("how", ["flock:grants-all", "flock:ENOLCK", "flock:ENOSYS", "flock:EOPNOTSUPP"])
def test_store_refuses_a_file_system_without_working_locks(server: FaultServer, root: Path, how: str) -> None:
    """Refuse the file system with one sentence and change nothing."""
    assert finish(start(root, item(server)))["outcomes"] == ["fetched"]
    before = snapshot(root)
    answer = finish(start(root, {**item(server), "name": "other"}, sabotage=how))
    assert answer["error"].startswith(f"The file system of {root / 'locks'}")
    assert "has no working file locks (" in answer["error"]
    assert answer["error"].endswith("use a local file system there, such as ext4, XFS or Btrfs.")
    assert snapshot(root) == before
    assert finish(start(root, item(server)))["outcomes"] == ["hit"]


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077, 0o777])
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become a job's user")
def test_store_can_be_read_with_any_umask_and_by_another_user(
    server: FaultServer, root: Path, umask: int
) -> None:
    assert finish(start(root, item(server), umask=umask))["outcomes"] == ["fetched"]
    for directory in (root.parent, *root.parent.parents[:2]):
        directory.chmod(0o755)
    modes = {oct(path.stat().st_mode & 0o7777) for path in (root / "trees").rglob("*")}
    assert modes == {"0o755", "0o644"}
    lock, model = root / "locks" / f"{DIGEST}.mutate.lock", root / "models" / "m"
    code = (
        "import fcntl, os, struct\n"
        f"lock = os.open({str(lock)!r}, os.O_RDONLY)\n"
        "fcntl.fcntl(lock, fcntl.F_OFD_SETLK, struct.pack('hhqqi4x', fcntl.F_RDLCK, 0, 0, 0, 0))\n"
        f"os.execvp('find', ['find', {str(model) + '/'!r}, *'-type f -exec cat {{}} +'.split()])\n"
    )
    reading = ["/usr/bin/python3", "-c", code]
    done = subprocess.run(reading, user=65534, group=65534, extra_groups=[], capture_output=True, check=True)
    assert len(done.stdout) == sum(len(data) for data in FILES.values())


@pytest.mark.parametrize("seconds", [31_536_000, -31_536_000], ids=["forward 1 y", "back 1 y"])
def test_store_ignores_jumps_of_the_wall_clock(server: FaultServer, root: Path, seconds: int) -> None:
    server.pages["/m.zip"].faults = ["break:500000", "503"]
    assert finish(start(root, item(server), sabotage=f"wall-clock:{seconds}"))["outcomes"] == ["fetched"]
    assert finish(start(root, item(server), sabotage=f"wall-clock:{seconds}"))["outcomes"] == ["hit"]
    assert whole(root / "models" / "m")


@pytest.mark.parametrize("where", ["download", "mutate"])
def test_store_lock_of_a_stopped_process_is_kept(root: Path, server: FaultServer, where: str) -> None:
    """Name the stopped holder, which keeps its lock and finishes later."""
    assert finish(start(root, item(server)))["outcomes"] == ["fetched"]
    holding = f"""
import sys
sys.path[:0] = {sys.path!r}
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock
with Flock({str(root / "locks" / f"{DIGEST}.{where}.lock")!r}, shared={where == "mutate"}):
    print("held", flush=True)
    sys.stdin.readline()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        # Everyone can use the installed tree; a repair needs the download lock and names its holder.
        assert finish(start(root, item(server)))["outcomes"] == ["hit"]
        (root / "trees" / DIGEST / "big").write_bytes(b"damaged")
        answer = finish(start(root, item(server), timeout_seconds=0.1))
        if where == "download":
            assert f"process {holder.pid} (" in answer["error"]
            assert (root / "trees" / DIGEST / "big").read_bytes() == b"damaged"
        else:
            assert answer["outcomes"] == ["repaired"]
    finally:
        holder.send_signal(signal.SIGCONT)
        holder.communicate("\n", timeout=60)
    assert holder.returncode == 0
    assert finish(start(root, item(server)))["outcomes"][0] in ("repaired", "hit")


def test_store_is_shared_with_an_older_python(server: FaultServer, root: Path) -> None:
    other = CHECKOUT / ".venv-oldest" / "bin" / "python"
    if not other.exists():
        pytest.skip("there is no second virtual environment")
    assert finish(start(root, item(server), python=other))["outcomes"] == ["fetched"]
    assert finish(start(root, item(server)))["outcomes"] == ["hit"]
    assert finish(start(root, item(server), python=other))["outcomes"] == ["hit"]


def test_store_uses_or_removes_leftovers_of_an_earlier_boot(server: FaultServer, root: Path) -> None:
    """Use or remove the half download, the half tree and the old progress."""
    server.pages["/m.zip"].faults = ["break:900000"]
    killed = start(root, item(server), sabotage="after:download:Download._read")
    killed.communicate(timeout=60)
    for area in ("staging", "trash"):
        (root / area / f"{DIGEST}.0123456789ab").mkdir()
        (root / area / f"{DIGEST}.0123456789ab" / "half").write_bytes(b"half")
    (root / "progress" / f"{DIGEST}.json").write_text("{}")
    answer = finish(start(root, item(server)))
    assert answer["outcomes"] == ["fetched"]
    assert answer["received"] <= len(MODEL)
    assert leftovers(root) == []


def test_flock_excludes_32_counting_processes(tmp_path: Path, survived: list[bool]) -> None:
    """Count up under a lock in 32 processes; the number comes out exact."""
    each = int(os.environ.get("COLDVOX_FAULT_ACQUISITIONS", "1000"))
    counter, processes = tmp_path / "counter", 32
    counter.write_bytes((0).to_bytes(8, "little"))
    counting = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock
fd = os.open({str(counter)!r}, os.O_RDWR)
lock = Flock({str(tmp_path / "lock")!r})
for _number in range({each}):
    with lock:
        os.pwrite(fd, (int.from_bytes(os.pread(fd, 8, 0), "little") + 1).to_bytes(8, "little"), 0)
"""
    running = [subprocess.Popen([sys.executable, "-c", counting]) for _number in range(processes)]
    assert [process.wait(timeout=240) for process in running] == [0] * processes
    count = int.from_bytes(counter.read_bytes(), "little")
    survived.extend([True] * count + [False] * (processes * each - count))
    assert count == processes * each


def test_flock_is_free_after_its_holder_is_killed(tmp_path: Path, runs: int, survived: list[bool]) -> None:
    """Kill holders of the lock; the kernel gives it to the next process at once."""
    holding = f"""
import sys, time
sys.path[:0] = {sys.path!r}
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock
Flock({str(tmp_path / "lock")!r}).acquire(30)
print("held", flush=True)
time.sleep(60)
"""
    running = [
        subprocess.Popen([sys.executable, "-c", holding], stdout=subprocess.PIPE, text=True)
        for _number in range(min(32, runs))
    ]
    waiting = list(running)
    try:
        while waiting:
            ready, _, _ = select.select([process.stdout for process in waiting if process.stdout], [], [], 30)
            assert len(ready) == 1, "exactly one holds it"
            (holder,) = [process for process in waiting if process.stdout is ready[0]]
            assert holder.stdout is not None
            survived.append(holder.stdout.readline() == "held\n")
            holder.kill()
            holder.wait()
            waiting.remove(holder)
    finally:
        for process in running:
            process.kill()
            process.communicate()
    assert all(survived)


def test_store_works_behind_a_symlink(server: FaultServer, root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    root.symlink_to("elsewhere")
    assert finish(start(root, item(server)))["outcomes"] == ["fetched"]
    assert finish(start(tmp_path / "elsewhere", item(server)))["outcomes"] == ["hit"]
    assert whole(root / "models" / "m")


@pytest.mark.parametrize("planted", ["lock", "partial", "note", "model"])
def test_store_does_not_follow_a_planted_link(
    server: FaultServer, root: Path, tmp_path: Path, planted: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    place = {
        "lock": f"locks/{DIGEST}.download.lock",
        "partial": f"partial/{DIGEST}.part",
        "note": f"partial/{DIGEST}.part.json",
        "model": "models/m",
    }[planted]
    (root / place).parent.mkdir(parents=True)
    (root / place).symlink_to(victim)
    answer = finish(start(root, item(server)))
    assert victim.read_bytes() == b"precious"
    if planted in ("lock", "partial"):
        assert "Too many levels of symbolic links" in answer["error"]
    else:
        assert answer["outcomes"] == ["fetched"]
        assert whole(root / "models" / "m")


def test_store_repairs_a_tree_with_a_damaged_receipt(server: FaultServer, root: Path) -> None:
    finish(start(root, item(server)))
    receipt = root / "receipts" / f"{DIGEST}.json"
    good = receipt.read_text()
    other = [good.replace('"schema":1', f'"schema":{number}') for number in (0, 99)]
    assert good not in other
    for text in ("", "{", good[: len(good) // 2], *other, "[]", "null"):
        receipt.write_text(text)
        assert finish(start(root, item(server)))["outcomes"] == ["repaired"]
        assert receipt.read_text() == good
    assert sha256(MODEL) == DIGEST
