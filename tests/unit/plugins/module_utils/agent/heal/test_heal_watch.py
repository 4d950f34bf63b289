"""The watcher of a job: it keeps the machine awake, and cleans up afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal import watch as watching
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.watch import (
    Cleaned,
    clean,
    watch,
    work_directory,
)
from ansible_collections.coldvox.ci.plugins.module_utils.agent.hooks import spool
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import run
from ansible_collections.coldvox.ci.plugins.module_utils.runner.account import Account, Host

from tests._support.heal_instance import Instance

UNIT = "coldvox-runner@one.service"
OTHER = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")


@pytest.fixture
def work(instance: Instance) -> Path:
    """A work directory with a file of its owner, the user of the tests."""
    path = instance.root / "_work"
    (path / "repository").mkdir(parents=True)
    (path / "repository" / "own").touch()
    return path


def foreign(path: Path) -> Path:
    """Make a directory with a file of another user."""
    path.mkdir()
    (path / "file").touch()
    for each in (path, path / "file"):
        os.chown(each, OTHER, OTHER)
    return path


def names(work: Path) -> set[str]:
    return {str(path.relative_to(work)) for path in work.rglob("*")}


@as_root
def test_clean_removes_files_of_others_and_the_trash(instance: Instance, work: Path) -> None:
    foreign(work / "repository" / "container")
    foreign(work / "_coldvox_trash")
    done = clean(instance.layout, UNIT, os.geteuid())
    assert done is not None
    assert done.foreign == 1
    assert names(work) == {"_coldvox_trash", "repository", "repository/own"}


@as_root
def test_clean_removes_nothing_while_a_worker_runs(instance: Instance, work: Path) -> None:
    left = foreign(work / "container")
    listener = instance.start("Runner.Listener")
    instance.start("Runner.Worker")
    assert clean(instance.layout, UNIT, os.geteuid()) is None
    assert left.exists()
    assert Path(f"/proc/{listener.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T"


@as_root
@pytest.mark.parametrize("program", ["Runner.Worker", "Runner.Listener"])
def test_clean_removes_nothing_when_a_job_starts_meanwhile(
    instance: Instance, work: Path, program: str
) -> None:
    """Right after the fork, its worker is still the listener's program."""
    left = foreign(work / "container")
    instance.start("Runner.Listener")

    def kill(pid: int, number: int) -> None:
        if number == signal.SIGSTOP:
            instance.start(program)
        os.kill(pid, number)

    host = Host(run, time.sleep, time.monotonic, kill=kill)
    assert clean(instance.layout, UNIT, os.geteuid(), host) is None
    assert left.exists()


@as_root
@pytest.mark.parametrize("lie", ["..", "../..", "/", "/etc", "/proc", "."])
def test_clean_refuses_a_directory_of_others(instance: Instance, work: Path, lie: str) -> None:
    """The account owns its work directory, but no directory above it."""
    for path in (work, work / "repository", work / "repository" / "own"):
        os.chown(path, OTHER, OTHER)
    instance.register(workFolder=lie)
    assert clean(instance.layout, UNIT, OTHER) is None
    assert (instance.root / ".runner").exists()


def test_clean_refuses_a_link_as_work_directory(instance: Instance, work: Path, tmp_path: Path) -> None:
    work.rename(tmp_path / "elsewhere")
    work.symlink_to(tmp_path / "elsewhere")
    assert clean(instance.layout, UNIT, os.geteuid()) is None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "{root}/_work"),
        ({"workFolder": "w"}, "{root}/w"),
        ({"workFolder": "/srv/w"}, "/srv/w"),
        ({"workFolder": ""}, "{root}/_work"),
        ({"workFolder": 7}, "{root}/_work"),
        ({"workFolder": "a\0b"}, "{root}/_work"),
    ],
)
def test_work_directory_comes_from_the_runner_file(
    instance: Instance, settings: dict[str, Any], expected: str
) -> None:
    instance.register(**settings)
    assert work_directory(instance.layout) == expected.format(root=instance.root)


@pytest.mark.parametrize("name", ["\ud800", "x" * 300, "x/" * 3000], ids=["surrogate", "name", "path"])
def test_clean_ignores_an_impossible_path(instance: Instance, name: str) -> None:
    instance.register(workFolder=name)
    assert clean(instance.layout, UNIT, os.geteuid()) is None


@pytest.mark.parametrize(
    "plant", [lambda path: path.mkdir(), lambda path: os.mkfifo(path), lambda _path: None]
)
def test_work_directory_of_a_damaged_runner_file_is_the_default(
    instance: Instance, plant: Callable[[Path], object]
) -> None:
    (instance.root / ".runner").unlink()
    plant(instance.root / ".runner")
    assert work_directory(instance.layout) == f"{instance.root}/_work"


def test_work_directory_does_not_wait_for_a_pipe(instance: Instance) -> None:
    """Nothing is in it, and its end does not come either."""
    (instance.root / ".runner").unlink()
    os.mkfifo(instance.root / ".runner")
    held = os.open(instance.root / ".runner", os.O_RDWR)
    try:
        assert work_directory(instance.layout) == f"{instance.root}/_work"
    finally:
        os.close(held)


class Logind:
    """A ``systemd-inhibit`` of the test's own, in front of the machine's."""

    def __init__(self, directory: Path, script: str) -> None:
        self.lines = directory / "inhibited"
        program = directory / "systemd-inhibit"
        program.write_text(f"#!/bin/sh\n{script.format(lines=self.lines)}\n")
        program.chmod(0o755)

    def text(self) -> str:
        return self.lines.read_text() if self.lines.exists() else ""


HONEST = 'echo "begin $*" >>{lines}; for last; do :; done; "$last"; echo end >>{lines}'
ABSENT = "echo asked >>{lines}; echo 'Failed to inhibit: no logind' >&2; exit 1"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use our own account, and look for programs in ``bin`` of the returned directory."""
    account = Account("ci-one", os.geteuid(), os.getegid())
    monkeypatch.setattr(watching, "account_of", lambda _name: account)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "run" / "jobs" / "one").mkdir(parents=True)
    spool.put_record(str(tmp_path / "run"), "one", "1-1-b-1.started.json", {"job": "build\x1b it"})
    return tmp_path


def watched(instance: Instance, host: Path, *, one_job: bool = False) -> tuple[threading.Thread, list[str]]:
    """Start to watch; returns the watching thread and what it says."""
    messages: list[str] = []
    machine = Host(instance.run, time.sleep, time.monotonic)
    places = (str(instance.base), str(host / "run"))
    thread = threading.Thread(
        target=watch, args=(*places, "one", messages.append, machine), kwargs={"one_job": one_job}
    )
    thread.start()
    return thread, messages


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


@pytest.mark.usefixtures("work")
def test_watch_keeps_the_machine_awake_until_the_worker_ends(instance: Instance, host: Path) -> None:
    logind = Logind(host / "bin", HONEST)
    worker = instance.start("Runner.Worker")
    thread, messages = watched(instance, host)
    until(lambda: "begin" in logind.text())
    assert "--what=sleep:idle --who=coldvox-ci --why=job build it on one --mode=block cat" in logind.text()
    assert "end" not in logind.text()
    worker.kill()
    thread.join(30)
    assert not thread.is_alive()
    assert logind.text().endswith("end\n")
    assert messages == []


@pytest.mark.usefixtures("work")
def test_watch_reports_a_missing_logind_once(instance: Instance, host: Path) -> None:
    logind = Logind(host / "bin", ABSENT)
    heard = []
    for job in range(1, 3):
        worker = instance.start("Runner.Worker")
        thread, messages = watched(instance, host)
        until(lambda times=job: logind.text().count("asked") == times)  # type: ignore[misc]
        assert thread.is_alive(), "it stays by the job all the same"
        worker.kill()
        worker.wait()
        thread.join(30)
        heard += messages
    assert heard == [
        "Jobs do not keep this machine awake, because logind does not answer (Failed to inhibit: no logind); "
        "start systemd-logind."
    ]


def test_watch_without_a_job_only_cleans(instance: Instance, work: Path, host: Path) -> None:
    logind = Logind(host / "bin", HONEST)
    thread, messages = watched(instance, host)
    thread.join(30)
    assert (logind.text(), messages) == ("", [])
    assert (work / "_coldvox_trash").is_dir()


def test_watch_stays_for_the_job_of_the_next_listener(instance: Instance, host: Path) -> None:
    logind = Logind(host / "bin", HONEST)
    Path(instance.layout.record("_coldvox_trash")).mkdir()
    (Path(instance.layout.record("_coldvox_trash")) / "build").touch()
    first = instance.start("Runner.Worker")
    thread, messages = watched(instance, host, one_job=True)
    until(lambda: logind.text().count("begin") == 1)
    first.kill()
    first.wait()
    until(lambda: logind.text().count("end") == 1)
    time.sleep(1)
    second = instance.start("Runner.Worker")
    until(lambda: logind.text().count("begin") == 2)
    second.kill()
    second.wait()
    thread.join(30)
    assert not thread.is_alive()
    assert messages == []
    assert not list(Path(instance.layout.record("_coldvox_trash")).iterdir())


def test_watch_empties_the_trash_while_the_next_job_runs(instance: Instance, host: Path) -> None:
    """Otherwise the space of two jobs is in use as long as the second one runs."""
    Logind(host / "bin", HONEST)
    worker = instance.start("Runner.Worker")
    thread, _messages = watched(instance, host, one_job=True)
    trash = Path(instance.layout.record("_coldvox_trash"))
    (trash / "build").mkdir(parents=True)
    until(lambda: not (trash / "build").exists())
    assert worker.poll() is None
    worker.kill()
    worker.wait()
    thread.join(30)


def line(pid: int, at: float, text: str) -> str:
    """A line of the listener as journalctl prints it."""
    entry = {
        "__REALTIME_TIMESTAMP": str(int(at * 1e6)),
        "_PID": str(pid),
        "MESSAGE": f"2026-11-21 15:48:51Z: {text}",
    }
    return f"{json.dumps(entry)}\n"


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("listener_lives", "word", "results"),
    [(True, "Failed", ["failure"]), (False, "Succeeded", ["success"]), (True, "Abandoned", [])],
)
def test_watch_leaves_the_result_of_the_job(
    instance: Instance, host: Path, listener_lives: bool, word: str, results: list[str]
) -> None:
    """Also of a listener that has ended since, as that of an ephemeral runner does."""
    logind = Logind(host / "bin", HONEST)
    (host / "run" / "results").mkdir()
    listener, worker = instance.start("Runner.Listener"), instance.start("Runner.Worker")
    begun = time.time()
    instance.journal = line(listener.pid, begun, "Running job: b")
    thread, heard = watched(instance, host)
    until(lambda: "begin" in logind.text())
    worker.kill()
    worker.wait()
    if not listener_lives:
        listener.kill()
        listener.wait()
    instance.journal += line(listener.pid + 1, time.time(), "Job b completed with result: Canceled")
    instance.journal += line(listener.pid, time.time(), f"Job b completed with result: {word}")
    thread.join(30)
    left = [json.loads(path.read_text()) for path in (host / "run" / "results").iterdir()]
    assert [(each["instance"], each["result"]) for each in left] == [("one", result) for result in results]
    assert all(begun - 1 < each["since"] <= each["at"] for each in left)
    assert heard == []


@pytest.mark.usefixtures("work")
def test_watch_continues_with_a_job_that_starts_meanwhile(instance: Instance, host: Path) -> None:
    """Its hook's record does not trigger the path unit while the watcher runs."""
    logind = Logind(host / "bin", HONEST)
    (host / "run" / "results").mkdir()
    listener, worker = instance.start("Runner.Listener"), instance.start("Runner.Worker")
    thread, _heard = watched(instance, host)
    until(lambda: "begin" in logind.text())
    following = instance.start("Runner.Worker")
    for process in (worker, following):
        instance.journal += line(listener.pid, time.time(), "Running job: b")
        instance.journal += line(listener.pid, time.time(), "Job b completed with result: Failed")
        process.kill()
        process.wait()
        until(lambda: logind.text().count("begin") == 2)
    thread.join(60)
    assert not thread.is_alive()


@as_root
def test_watch_adds_up_its_cleanups(instance: Instance, work: Path, host: Path) -> None:
    logind = Logind(host / "bin", HONEST)
    listener, worker = instance.start("Runner.Listener"), instance.start("Runner.Worker")
    following: list[subprocess.Popen[bytes]] = []
    cleaned: list[Cleaned | None] = []

    def sleep(seconds: float) -> None:
        """The line about the first job comes late, and the second job with it."""
        if not following:
            following.append(instance.start("Runner.Worker"))
            instance.journal += line(listener.pid, time.time(), "Job b completed with result: Abandoned")
        time.sleep(seconds)

    def perform() -> None:
        machine = Host(instance.run, sleep, time.monotonic)
        cleaned.append(watch(str(instance.base), str(host / "run"), "one", lambda _text: None, machine))

    foreign(work / "first")
    instance.journal = line(listener.pid, time.time(), "Running job: b")
    thread = threading.Thread(target=perform)
    thread.start()
    until(lambda: "begin" in logind.text())
    worker.kill()
    until(lambda: logind.text().count("begin") == 2)
    foreign(work / "second")
    instance.journal += line(listener.pid, time.time(), "Running job: b")
    instance.journal += line(listener.pid, time.time(), "Job b completed with result: Abandoned")
    following[0].kill()
    thread.join(60)
    assert [each and (each.foreign, each.swept.removed) for each in cleaned] == [(2, 4)]


@pytest.mark.usefixtures("work")
def test_watch_cleans_up_when_results_cannot_be_written(instance: Instance, work: Path, host: Path) -> None:
    listener = instance.start("Runner.Listener")
    instance.journal = line(listener.pid, time.time() - 9, "Running job: b")
    instance.journal += line(listener.pid, time.time() - 5, "Job b completed with result: Failed")
    thread, heard = watched(instance, host)
    thread.join(30)
    assert len(heard) == 1
    assert "results cannot be written" in heard[0]
    assert (work / "_coldvox_trash").is_dir()
