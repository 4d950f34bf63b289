"""The reports about a store.

Contents, downloads, leases, and the holders and waiters of locks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.host import flock, named_lock
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock, occupied
from ansible_collections.coldvox.ci.plugins.module_utils.store.describe import describe, leases, locks
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import Layout
from ansible_collections.coldvox.ci.plugins.module_utils.store.lease import Acquire, Instant, LeaseFile

from tests._support.fault_server import FaultServer, install, model_zip, wanted
from tests._support.store_models import models, snapshot


def test_occupied_leaves_no_trace(tmp_path: Path) -> None:
    path = str(tmp_path / "a.lock")
    assert occupied(path) == ""
    assert not os.path.exists(path)
    with Flock(path, shared=True):
        assert occupied(path) == "shared"
    assert occupied(path) == ""
    with Flock(path):
        before = Path(path).read_bytes()
        assert occupied(path) == "exclusive"
        assert Path(path).read_bytes() == before
    (tmp_path / "link").symlink_to(path)
    assert occupied(str(tmp_path / "link")) == "unknown"


WAITER = f"""
import sys
sys.path[:0] = {sys.path!r}
from {flock.__name__} import Flock
Flock(sys.argv[1]).acquire()
"""


def test_locks_names_holders_and_waiters(tmp_path: Path) -> None:
    path = str(tmp_path / "x.lock")
    assert locks([str(tmp_path), str(tmp_path / "none")]) == []
    with Flock(path):
        waiter = subprocess.Popen([sys.executable, "-c", WAITER, path])
        try:
            deadline = time.monotonic() + 30
            while True:
                (lock,) = locks([str(tmp_path)])
                if lock["waiters"] or time.monotonic() > deadline:
                    break
                time.sleep(0.02)
        finally:
            waiter.kill()
            waiter.wait()
    assert (lock["path"], lock["name"], lock["mode"]) == (path, "x", "exclusive")
    assert [holder["pid"] for holder in lock["holders"]] == [os.getpid()]
    assert [process["pid"] for process in lock["waiters"]] == [waiter.pid]
    assert lock["waiters"][0]["shared"] is False
    assert lock["holders"][0]["command"]
    assert lock["holders"][0]["running_seconds"] > 0


def test_locks_lists_the_locks_of_jobs_by_name(tmp_path: Path) -> None:
    lock = named_lock.acquire(str(tmp_path), "x")
    try:
        (listed,) = locks([str(tmp_path)])
    finally:
        lock.release()
    assert listed["path"] == str(tmp_path / named_lock.FILE)
    # This process has no such word on its command line.
    assert (listed["name"], listed["mode"]) == (f"#{named_lock.offset('x'):x}", "exclusive")
    assert [holder["pid"] for holder in listed["holders"]] == [os.getpid()]


def test_locks_ignores_the_text_of_a_lock_file(tmp_path: Path) -> None:
    """Ignore the text: earlier versions and every user of the directory can write it."""
    path = tmp_path / "x.lock"
    path.write_text('{"pid": 1, "purpose": "long ago", "since": "2020-01-01T00:00:00Z"}')
    path.chmod(0o644)
    with Flock(str(path)):
        (lock,) = locks([str(tmp_path)])
    assert [holder["pid"] for holder in lock["holders"]] == [os.getpid()]
    assert "long ago" not in str(lock)


def test_leases_lists_all_with_their_remaining_time(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path))
    layout.prepare()
    start = Instant("boot-1", 1000.0, 1_800_000_000.0)
    for name, seconds in (("a", 60), ("b", 600)):
        LeaseFile(layout, name, clock=lambda: start).acquire(Acquire("alice", seconds), 0)
    (tmp_path / "leases" / "c.json").write_text("{")
    later = start._replace(boottime=1100.0, wall=start.wall + 100)
    a, b, c = leases(str(tmp_path), clock=lambda: later)
    assert (a["name"], a["owner"], a["expired"], a["expires_at"]) == ("a", "alice", True, None)
    assert (b["remaining_seconds"], b["age_seconds"], b["expired"]) == (500, 100, False)
    assert b["expires_at"] == "2027-01-15T08:10:00Z"
    assert (c["name"], c["owner"], c["expired"]) == ("c", None, None)
    assert "cannot be understood" in c["problem"]
    other_boot = Instant("boot-2", 10.0, start.wall + 1000)
    assert leases(str(tmp_path), clock=lambda: other_boot)[1]["age_seconds"] is None
    assert leases(str(tmp_path / "none")) == []


def test_describe_touches_nothing(server: FaultServer, root: Path) -> None:
    assert describe(str(root)).exists is False
    assert not root.exists()
    old, _other = models(server, root, 2)
    newer = model_zip("newer")
    install(root, wanted("m0", server.serve("/n.zip", newer), newer, strip_components=1))
    before = snapshot(root)
    with Flock(Layout(str(root)).mutate_lock(old.sha256), shared=True):
        description = describe(str(root))
    assert snapshot(root) == before
    m0, m1 = description.artifacts
    assert (m0["name"], m0["kind"], m0["link"], m0["in_use"]) == ("m0", "other", None, None)
    assert m1["path"] == str(root / "trees" / m1["sha256"])
    assert m1["last_used"].endswith("Z")
    (left,) = description.unreferenced
    assert left["sha256"] == old.sha256
    assert left["in_use"].startswith(f"in use by process {os.getpid()} (")
    assert description.total_bytes == m0["bytes"] + m1["bytes"] + left["bytes"]
    assert 0 < description.disk_free_bytes < description.disk_total_bytes


def test_describe_shows_a_running_download(server: FaultServer, root: Path) -> None:
    data = model_zip()
    artifact = wanted("m", server.serve("/m.zip", data, rate=200_000), data)
    thread = threading.Thread(target=lambda: install(root, artifact))
    thread.start()
    seen: list[dict[str, Any]] = []
    while thread.is_alive():
        seen += describe(str(root)).downloads
        thread.join(0.02)
    assert seen
    assert {(item["sha256"], item["name"]) for item in seen} == {(artifact.sha256, "m")}
    assert any(item["phase"] == "download" and item["bytes_total"] == len(data) for item in seen)
    # The file of a killed process is no download.
    (root / "progress" / f"{artifact.sha256}.json").write_text("{}")
    assert describe(str(root)).downloads == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_describe_works_for_a_job(server: FaultServer, root: Path) -> None:
    models(server, root, 1)
    for directory in root.parents:
        if directory == Path(tempfile.gettempdir()):
            break
        directory.chmod(0o755)
    script = (
        "import sys; sys.path[:0] = eval(sys.argv[1])\n"
        "from ansible_collections.coldvox.ci.plugins.module_utils.store import describe as reports\n"
        "from ansible_collections.coldvox.ci.plugins.module_utils.store.describe import describe\n"
        "from ansible_collections.coldvox.ci.plugins.module_utils.store.verify import verify\n"
        "import os; store = sys.argv[2]\n"
        # Once as root, because another user may not be allowed to import from the directory of Python.
        "verify(store, full=True); describe(store)\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(len(describe(store).artifacts), len(verify(store, full=True).sound),\n"
        "      len(reports.locks([store + '/locks'])))\n"
    )
    with Flock(Layout(str(root)).download_lock("ab" * 32), mode=0o600):
        done = subprocess.run(
            [sys.executable, "-c", script, repr(sys.path), str(root)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout.split() == ["1", "1", "1"], done.stderr
