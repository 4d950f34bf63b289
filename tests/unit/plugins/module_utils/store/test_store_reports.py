"""What people are told: contents, downloads, leases, and who holds and waits for which lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock, occupied
from ansible_collections.coldvox.ci.plugins.module_utils.store.describe import describe, leases, locks
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import Layout
from ansible_collections.coldvox.ci.plugins.module_utils.store.lease import Acquire, Instant, LeaseFile

from tests._support.fault_server import FaultServer, install, model_zip, wanted
from tests._support.store_models import models, snapshot


def test_looking_at_a_lock_leaves_no_trace(tmp_path: Path) -> None:
    path = str(tmp_path / "a.lock")
    assert occupied(path) == ""
    assert not os.path.exists(path)
    with Flock(path, shared=True):
        assert occupied(path) == "shared"
    assert occupied(path) == ""
    with Flock(path, purpose="a test"):
        before = Path(path).read_bytes()
        assert occupied(path) == "exclusive"
        assert Path(path).read_bytes() == before
    (tmp_path / "link").symlink_to(path)
    assert occupied(str(tmp_path / "link")) == "unknown"


WAITER = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX)"


def test_holders_and_waiters_are_named(tmp_path: Path) -> None:
    path = str(tmp_path / "x.lock")
    assert locks([str(tmp_path), str(tmp_path / "none")]) == []
    with Flock(path, purpose="a test"):
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
    assert lock["purpose"] == "a test"
    assert lock["since"].endswith("Z")
    assert 0 <= lock["age_seconds"] < 60
    assert [one["pid"] for one in lock["holders"]] == [os.getpid()]
    assert [one["pid"] for one in lock["waiters"]] == [waiter.pid]
    assert lock["waiters"][0]["shared"] is False
    assert lock["holders"][0]["command"]
    assert lock["holders"][0]["running_seconds"] > 0


def test_the_note_of_an_earlier_holder_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    path.write_text(json.dumps({"pid": 1, "purpose": "long ago", "since": "2020-01-01T00:00:00Z"}))
    path.chmod(0o644)
    with Flock(str(path)):  # without a purpose it leaves no note
        (lock,) = locks([str(tmp_path)])
    assert (lock["purpose"], lock["since"], lock["age_seconds"]) == (None, None, None)


def test_leases_are_listed_with_what_is_left(tmp_path: Path) -> None:
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


def test_a_store_is_described_without_touching_it(server: FaultServer, root: Path) -> None:
    assert describe(str(root)).exists is False
    assert not root.exists()
    old, _other = models(server, root, 2)
    newer = model_zip("newer")
    install(root, wanted("m0", server.serve("/n.zip", newer), newer, strip_components=1))
    before = snapshot(root)
    with Flock(Layout(str(root)).mutate_lock(old.sha256), shared=True):
        told = describe(str(root))
    assert snapshot(root) == before
    m0, m1 = told.artifacts
    assert (m0["name"], m0["kind"], m0["link"], m0["in_use"]) == ("m0", "other", None, None)
    assert m1["path"] == str(root / "trees" / m1["sha256"])
    assert m1["last_used"].endswith("Z")
    (left,) = told.unreferenced
    assert left["sha256"] == old.sha256
    assert left["in_use"].startswith(f"in use by process {os.getpid()} (")
    assert told.total_bytes == m0["bytes"] + m1["bytes"] + left["bytes"]
    assert 0 < told.disk_free_bytes < told.disk_total_bytes


def test_a_download_under_way_is_told(server: FaultServer, root: Path) -> None:
    data = model_zip()
    one = wanted("m", server.serve("/m.zip", data, rate=200_000), data)
    thread = threading.Thread(target=lambda: install(root, one))
    thread.start()
    seen: list[dict[str, Any]] = []
    while thread.is_alive():
        seen += describe(str(root)).downloads
        thread.join(0.02)
    assert seen
    assert {(item["sha256"], item["name"]) for item in seen} == {(one.sha256, "m")}
    assert any(item["phase"] == "download" and item["bytes_total"] == len(data) for item in seen)
    # What a killed process left tells of nothing.
    (root / "progress" / f"{one.sha256}.json").write_text("{}")
    assert describe(str(root)).downloads == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_job_may_look_as_well(server: FaultServer, root: Path) -> None:
    models(server, root, 1)
    for directory in root.parents:
        if directory == Path(tempfile.gettempdir()):
            break
        directory.chmod(0o755)
    script = (
        "import sys; sys.path[:0] = eval(sys.argv[1])\n"
        "from ansible_collections.coldvox.ci.plugins.module_utils.store import lock_report\n"
        "from ansible_collections.coldvox.ci.plugins.module_utils.store.report import describe\n"
        "from ansible_collections.coldvox.ci.plugins.module_utils.store.verify import verify\n"
        "import os; store = sys.argv[2]\n"
        # Once as root, because nobody else may be allowed to import from where Python lies.
        "verify(store, full=True); describe(store)\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(len(describe(store).artifacts), len(verify(store, full=True).sound),\n"
        "      len(lock_report.locks([store + '/locks'])))\n"
    )
    with Flock(Layout(str(root)).download_lock("ab" * 32), mode=0o600, purpose="a test"):
        done = subprocess.run(
            [sys.executable, "-c", script, repr(sys.path), str(root)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout.split() == ["1", "1", "1"], done.stderr
