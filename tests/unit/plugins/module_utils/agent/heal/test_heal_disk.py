"""The bound of a job's disk space: when root measures, and what ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.cli.heal import heal
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal import disk, rules
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal import watch as watching
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.disk import (
    Bound,
    Measured,
    Space,
    bound_for,
    ended_jobs,
    is_due,
    space_of,
)
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.watch import watch
from ansible_collections.coldvox.ci.plugins.module_utils.runner.account import Account, Host
from ansible_collections.coldvox.ci.plugins.module_utils.runner.instance_records import (
    OVERFULL,
    read_record,
    write_record,
)
from ansible_collections.coldvox.ci.plugins.module_utils.runner.layout import instance_layout

from tests._support.heal_instance import Instance

UNIT = "coldvox-runner@one.service"
ROOM = Space(size=1000, free=1000)
MIB = 1024**2
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")


@pytest.mark.parametrize(
    ("last", "now", "free", "due"),
    [
        (None, 0.0, 1000, True),
        (Measured(100, 0.1, 10, ROOM), 104.9, 1000, False),
        (Measured(100, 0.1, 10, ROOM), 105.0, 1000, True),
        (Measured(100, 3.0, 10, ROOM), 159.0, 1000, False),
        (Measured(100, 3.0, 10, ROOM), 160.0, 1000, True),
        (Measured(100, 3.0, 10, ROOM), 101.0, 910, False),
        (Measured(100, 3.0, 10, ROOM), 101.0, 909, True),
        (Measured(100, 3.0, 95, ROOM._replace(free=20)), 101.0, 19, True),
        (Measured(100, 3.0, 95, ROOM._replace(free=19)), 101.0, 18, False),
    ],
    ids=[
        *("first", "pause", "after it", "long walk", "after it too", "may be at the bound", "may be above"),
        *("becomes short", "is short"),
    ],
)
def test_is_due(last: Measured | None, now: float, free: int, due: bool) -> None:
    assert is_due(last, now, ROOM._replace(free=free), bound=100) is due


@pytest.mark.parametrize(
    ("space", "short"),
    [
        (Space(1000, 20), False),
        (Space(1000, 19), True),
        (Space(2**40, 2**30), False),
        (Space(2**40, 2**30 - 1), True),
        (Space(1000, 500, 100, 2), False),
        (Space(1000, 500, 100, 1), True),
        (Space(1000, 500, 0, 0), False),
    ],
)
def test_space_is_short_below_a_gibibyte_or_a_share(space: Space, short: bool) -> None:
    assert space.is_short is short


def test_space_of_agrees_with_df(tmp_path: Path) -> None:
    words = ["df", "--block-size=1", "--output=size,avail,itotal,iavail", str(tmp_path)]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    expected = Space(*map(int, shown.splitlines()[1].split()))
    assert space_of(str(tmp_path)).size == expected.size
    assert abs(space_of(str(tmp_path)).free - expected.free) < 2**28
    assert space_of(str(tmp_path)).files == expected.files


def exceeds(checked: Bound, worker: subprocess.Popen[bytes]) -> bool:
    return "disk_gib" in checked.reason_to_end(worker.pid)


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
    assert exceeds(bound(instance, 2 * MIB), worker)
    assert not exceeds(bound(instance, 4 * MIB), worker)


@as_root
def test_bound_counts_the_registered_work_directory(instance: Instance, tmp_path: Path) -> None:
    """And not that of the runner's own file, which a job can write."""
    registered = Path(instance.layout.record("registration"))
    registered.mkdir()
    (registered / ".runner").write_text(json.dumps({"workFolder": str(tmp_path / "srv")}))
    owned(tmp_path / "srv" / "repository" / "file", 3 * MIB)
    os.chown(tmp_path / "srv" / "repository", 65534, 65534)
    worker = instance.start("Runner.Worker")
    assert exceeds(bound(instance, 2 * MIB), worker)


@as_root
def test_bound_does_not_count_what_is_the_runners(instance: Instance) -> None:
    (instance.root / "bin").mkdir()
    (instance.root / "bin" / "Runner.Listener.dll").write_bytes(os.urandom(3 * MIB))
    worker = instance.start("Runner.Worker")
    assert not exceeds(bound(instance, 2 * MIB), worker)


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
    assert exceeds(bound(instance, 2 * MIB), worker)
    assert not exceeds(bound(instance, 4 * MIB), worker)


def test_bound_counts_files_without_a_name(instance: Instance) -> None:
    code = (
        "import tempfile, time\n"
        "held = tempfile.TemporaryFile(); held.write(bytes(3 * 2**20)); held.flush()\n"
        "print(flush=True); time.sleep(600)\n"
    )
    worker = instance.start("Runner.Worker", code)
    assert exceeds(bound(instance, 2 * MIB), worker)
    assert not exceeds(bound(instance, 4 * MIB), worker)


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
    assert any("root ended the job, because its files take more than 0.00195 GiB" in each for each in said)
    record = read_record(instance.layout, OVERFULL)
    assert ("0.00195 GiB" in record["reason"], record["wiped"]) == (True, False)
    assert not instance.asked("kill")


def test_end_job_kills_the_unit_of_a_listener_that_does_not_end(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "_REPORT_SECONDS", 0.5)
    listener, worker = instance.start("Runner.Listener"), instance.start("Runner.Worker")
    os.kill(listener.pid, signal.SIGSTOP)
    bound(instance, 1).end_job("a test")
    assert worker.wait(10) == -signal.SIGKILL
    assert instance.asked("kill") == [["systemctl", "kill", "--signal=SIGKILL", UNIT]]


@as_root
def test_end_job_works_on_a_full_disk(small_disk: Instance) -> None:
    worker = small_disk.start("Runner.Worker")
    filling = os.open(small_disk.base / "filling", os.O_CREAT | os.O_WRONLY)
    with contextlib.suppress(OSError):
        while True:
            os.write(filling, bytes(4096))
    os.close(filling)
    with pytest.raises(OSError, match="No space left"):
        (small_disk.root / "more").write_text("x")
    bound(small_disk, 1).end_job("a test")
    assert worker.wait(10) == -signal.SIGKILL


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
        assert not checked.reason_to_end(worker.pid)
    assert walks.count(str(instance.root)) == 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Instance]:
    """An instance on a file system of 64 MiB, with the neighbour ``two``."""
    base = tmp_path / "runners"
    base.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "none", base], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no mount here: {mounted.stderr.decode()}")
    instance = Instance(base)
    try:
        (base / "two/.coldvox").mkdir(parents=True)
        (base / "two/.coldvox/registration.json").write_text("{}")
        yield instance
    finally:
        instance.end()
        subprocess.run(["umount", "--lazy", base], check=True)


def neighbour(instance: Instance) -> subprocess.Popen[bytes]:
    """Start the worker of the instance ``two``."""
    (instance.base / "two/bin").mkdir()
    program = instance.base / "two/bin/Runner.Worker"
    program.write_text((instance.root / "bin/Runner.Worker").read_text())
    worker = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE)
    instance.processes.append(worker)
    assert worker.stdout is not None
    worker.stdout.readline()
    return worker


@as_root
def test_bound_ends_the_job_that_takes_most_of_a_full_disk(small_disk: Instance) -> None:
    worker = small_disk.start("Runner.Worker")
    neighbour(small_disk)
    owned(small_disk.root / "_home/file", 40 * MIB)
    unlimited = 2**62
    assert bound(small_disk, unlimited).reason_to_end(worker.pid) == "", "there is space"
    owned(small_disk.base / "two/_home/file", 23 * MIB)
    assert "almost full" in bound(small_disk, unlimited).reason_to_end(worker.pid)
    two = instance_layout(str(small_disk.base), "two")
    write_record(two, OVERFULL, {"at": time.time(), "wiped": False})
    assert bound(small_disk, unlimited).reason_to_end(worker.pid) == "", "root frees space already"
    write_record(two, OVERFULL, {"at": time.time() - 61, "wiped": True})
    assert "almost full" in bound(small_disk, unlimited).reason_to_end(worker.pid)
    (small_disk.base / "two/.coldvox/_coldvox_trash/build").mkdir(parents=True)
    assert bound(small_disk, unlimited).reason_to_end(worker.pid) == "", "root still deletes files"


@as_root
def test_bound_spares_the_smaller_job_of_a_full_disk(small_disk: Instance) -> None:
    worker = small_disk.start("Runner.Worker")
    other = neighbour(small_disk)
    owned(small_disk.root / "_home/file", 23 * MIB)
    owned(small_disk.base / "two/_home/file", 40 * MIB)
    assert bound(small_disk, 2**62).reason_to_end(worker.pid) == ""
    other.kill()
    other.wait()
    assert "almost full" in bound(small_disk, 2**62).reason_to_end(worker.pid), "no other job runs"


@as_root
def test_bound_spares_a_job_that_takes_almost_nothing(small_disk: Instance) -> None:
    """A person has filled the disk."""
    worker = small_disk.start("Runner.Worker")
    owned(small_disk.root / "_home/file", MIB)
    (small_disk.base / "of a person").write_bytes(bytes(62 * MIB))
    assert bound(small_disk, 2**62).reason_to_end(worker.pid) == ""


def test_ended_jobs_are_those_of_the_last_hour(instance: Instance) -> None:
    base, now = str(instance.base), 1e9
    assert ended_jobs(base, now) == []
    for at, expected in ((now - 10, [("one", now - 10, "full")]), (now - 3600, []), (now + 10, [])):
        write_record(instance.layout, OVERFULL, {"at": at, "reason": "full", "wiped": True})
        assert [tuple(each) for each in ended_jobs(base, now)] == expected


def test_heal_lists_a_job_that_root_ended_once(
    instance: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bin").mkdir()
    systemctl = tmp_path / "bin/systemctl"
    systemctl.write_text(f"#!/bin/sh\nprintf 'Id={UNIT}\\nActiveState=active\\nSubState=running\\n'\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "run").mkdir()
    write_record(instance.layout, OVERFULL, {"at": time.time(), "reason": "it is full", "wiped": True})
    options = SimpleNamespace(
        run=str(tmp_path / "run"), runners=str(instance.base), dry_run=False, json=False, quiet=True
    )
    assert heal(options) == 0  # type: ignore[arg-type]
    assert capsys.readouterr().out == "one: end the job, because it is full: done\n"
    assert heal(options) == 0  # type: ignore[arg-type]
    assert capsys.readouterr().out == ""
    state = rules.read(str(tmp_path / "run"))
    assert state is not None
    assert [(each.instance, each.action) for each in state.history.done] == [("one", rules.END)]
