"""The bound of a job's disk space: when root measures, and what ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal import disk
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal import watch as watching
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.disk import (
    Bound,
    Measured,
    bound_for,
    is_due,
)
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.watch import watch
from ansible_collections.coldvox.ci.plugins.module_utils.runner.account import Account, Host
from ansible_collections.coldvox.ci.plugins.module_utils.runner.instance_records import OVERFULL, read_record

from tests._support.heal_instance import Instance

UNIT = "coldvox-runner@one.service"
MIB = 1024**2
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")


@pytest.mark.parametrize(
    ("last", "now", "free", "due"),
    [
        (None, 0.0, 0, True),
        (Measured(100, 0.1, 10, 1000), 104.9, 1000, False),
        (Measured(100, 0.1, 10, 1000), 105.0, 1000, True),
        (Measured(100, 3.0, 10, 1000), 159.0, 1000, False),
        (Measured(100, 3.0, 10, 1000), 160.0, 1000, True),
        (Measured(100, 3.0, 10, 1000), 101.0, 910, False),
        (Measured(100, 3.0, 10, 1000), 101.0, 909, True),
    ],
    ids=["first", "pause", "after it", "long walk", "after it too", "may be at the bound", "may be above"],
)
def test_is_due(last: Measured | None, now: float, free: int, due: bool) -> None:
    assert is_due(last, now, free, bound=100) is due


def owned(path: Path, size: int = MIB) -> Path:
    """Make a file of a job's account."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    for each in (path, path.parent):
        os.chown(each, 65534, 65534)
    return path


def machine(instance: Instance) -> Host:
    return Host(instance.run, time.sleep, time.monotonic)


def bound(instance: Instance, limit: int, said: list[str] | None = None) -> Bound:
    return Bound(machine(instance), instance.layout, "one", limit, ([] if said is None else said).append)


@as_root
@pytest.mark.parametrize("place", ["_home/x/file", "_work/_temp/file", "_work/repository/file", "other/file"])
def test_bound_counts_every_place_of_a_job(instance: Instance, place: str) -> None:
    worker = instance.start("Runner.Worker")
    path = instance.root / place
    owned(path, 3 * MIB)
    os.chown(instance.root / Path(place).parts[0], 65534, 65534)
    assert bound(instance, 2 * MIB).is_exceeded(worker.pid)
    assert not bound(instance, 4 * MIB).is_exceeded(worker.pid)


@as_root
def test_bound_counts_the_registered_work_directory(instance: Instance, tmp_path: Path) -> None:
    """And not that of the runner's own file, which a job can write."""
    registered = Path(instance.layout.record("registration"))
    registered.mkdir()
    (registered / ".runner").write_text(json.dumps({"workFolder": str(tmp_path / "srv")}))
    owned(tmp_path / "srv" / "repository" / "file", 3 * MIB)
    os.chown(tmp_path / "srv" / "repository", 65534, 65534)
    worker = instance.start("Runner.Worker")
    assert bound(instance, 2 * MIB).is_exceeded(worker.pid)


@as_root
def test_bound_does_not_count_what_is_the_runners(instance: Instance) -> None:
    (instance.root / "bin").mkdir()
    (instance.root / "bin" / "Runner.Listener.dll").write_bytes(os.urandom(3 * MIB))
    worker = instance.start("Runner.Worker")
    assert not bound(instance, 2 * MIB).is_exceeded(worker.pid)


@as_root
def test_bound_counts_private_temporary_directories(instance: Instance, tmp_path: Path) -> None:
    """As systemd mounts them for a unit with PrivateTmp=."""
    program = instance.root / "bin" / "Runner.Worker"
    program.parent.mkdir()
    program.write_text("import time; print(flush=True); time.sleep(600)")
    script = (
        'mount --bind "$1/tmp" /var/tmp && head -c 3000000 /dev/urandom >/var/tmp/file '
        '&& chown 65534 /var/tmp/file && exec "$2" "$3"'
    )
    private = tmp_path / "systemd-private-0-coldvox-runner@one.service-1"
    (private / "tmp").mkdir(parents=True)
    argv = [
        "unshare",
        "--mount",
        "sh",
        "-ec",
        script,
        "sh",
        str(private),
        sys.executable,
        str(program),
    ]
    worker = subprocess.Popen(argv, stdout=subprocess.PIPE)
    instance.processes.append(worker)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"\n"
    assert bound(instance, 2 * MIB).is_exceeded(worker.pid)
    assert not bound(instance, 4 * MIB).is_exceeded(worker.pid)


def test_bound_counts_files_without_a_name(instance: Instance) -> None:
    code = (
        "import tempfile, time\n"
        "held = tempfile.TemporaryFile(); held.write(bytes(3 * 2**20)); held.flush()\n"
        "print(flush=True); time.sleep(600)\n"
    )
    worker = instance.start("Runner.Worker", code)
    assert bound(instance, 2 * MIB).is_exceeded(worker.pid)
    assert not bound(instance, 4 * MIB).is_exceeded(worker.pid)


def test_bound_comes_from_the_unit(instance: Instance) -> None:
    said: list[str] = []
    for limit in ("infinity", "", "[not set]"):
        instance.units[UNIT]["LimitFSIZE"] = limit
        assert bound_for(machine(instance), instance.layout, "one", said.append) is None
    instance.units[UNIT]["LimitFSIZE"] = "1073741824"
    assert bound_for(machine(instance), instance.layout, "one", said.append) is not None
    assert said == []
    instance.refusal = "no systemd"
    assert bound_for(machine(instance), instance.layout, "one", said.append) is None
    assert "without a bound" in said[0]


@as_root
def test_watch_ends_a_job_above_its_bound(
    instance: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener stays until it has reported the failure."""
    monkeypatch.setattr(watching, "account_of", lambda _name: Account("ci-one", 0, 0))
    (tmp_path / "run" / "jobs" / "one").mkdir(parents=True)
    instance.units[UNIT]["LimitFSIZE"] = str(2 * MIB)
    listener, worker = instance.start("Runner.Listener"), instance.start("Runner.Worker")
    said: list[str] = []
    places = (str(instance.base), str(tmp_path / "run"), "one", said.append, machine(instance))
    watched = threading.Thread(target=watch, args=places, kwargs={"one_job": True})
    watched.start()
    time.sleep(2.5)
    assert worker.poll() is None
    owned(instance.root / "_home" / "file", 3 * MIB)
    assert worker.wait(30) == -signal.SIGKILL
    assert listener.poll() is None
    time.sleep(1)
    listener.kill()
    listener.wait()
    watched.join(60)
    assert not watched.is_alive()
    assert any("root ended the job, because its files take more than 2.1 MB" in each for each in said)
    assert "2.1 MB" in read_record(instance.layout, OVERFULL)["reason"]
    assert not instance.asked("kill")


def test_end_job_kills_the_unit_of_a_listener_that_does_not_end(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "_REPORT_SECONDS", 0.5)
    listener, worker = instance.start("Runner.Listener"), instance.start("Runner.Worker")
    os.kill(listener.pid, signal.SIGSTOP)
    bound(instance, 1).end_job()
    assert worker.wait(10) == -signal.SIGKILL
    assert instance.asked("kill") == [["systemctl", "kill", "--signal=SIGKILL", UNIT]]


def test_bound_is_cheap_while_nothing_changes(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    walks: list[str] = []

    def walk(path: str, _keeper: int, _enough: Callable[[int], bool]) -> int:
        walks.append(path)
        return 10

    monkeypatch.setattr(disk, "tree_bytes", walk)
    clock = SimpleNamespace(now=100.0)
    host = Host(instance.run, time.sleep, lambda: clock.now)
    worker = instance.start("Runner.Worker")
    checked = Bound(host, instance.layout, "one", 2**62, print)
    for second in range(20):
        clock.now = 100.0 + second
        assert not checked.is_exceeded(worker.pid)
    assert walks.count(str(instance.root)) == 4
