"""Drain and claim with real processes and the test's own systemctl: no job ends."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import Result
from ansible_collections.coldvox.ci.plugins.module_utils.runner import drain as drain_module
from ansible_collections.coldvox.ci.plugins.module_utils.runner.account import Host
from ansible_collections.coldvox.ci.plugins.module_utils.runner.drain import claim, claim_lock, drain
from ansible_collections.coldvox.ci.plugins.module_utils.runner.layout import Layout

UNIT = "coldvox-runner@one.service"
PROGRAM = "import time; print(flush=True); time.sleep(600)\n"

# The process of the given id is suspended almost all the time.
FREEZER = """
import resource, signal, sys, time
from ansible_collections.coldvox.ci.plugins.module_utils.runner import account, drain
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)
machine = account.Host(run=None, sleep=time.sleep, now=time.monotonic)
while True:
    with drain.frozen(machine, [int(sys.argv[1])]):
        print(flush=True)
        time.sleep(0.002)
"""


class Machine:
    """A machine with one instance: its listener runs, the test starts jobs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls: list[list[str]] = []
        self.signals: list[int] = []
        self.clock = 0.0
        self.job_at: int = 0
        self.listener = self.start("Runner.Listener")
        self.worker: subprocess.Popen[bytes] | None = None

    def start(self, name: str) -> subprocess.Popen[bytes]:
        program = self.root / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(PROGRAM)
        process = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def run(self, argv: Sequence[str], **_options: Any) -> Result:
        self.calls.append(list(argv))
        if "--no-block" not in argv:
            self.listener.wait(30)
        return Result(0, "", "")

    def kill(self, pid: int, number: int) -> None:
        """Pass a signal on; start a job just before the ``job_at``-th signal."""
        self.signals.append(number)
        if len(self.signals) == self.job_at:
            self.worker = self.start("Runner.Worker")
        os.kill(pid, number)

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    def drain(self, timeout_seconds: float) -> Any:
        host = Host(run=self.run, sleep=self.sleep, now=lambda: self.clock, kill=self.kill)
        return drain(host, UNIT, Layout(str(self.root)), timeout_seconds=timeout_seconds)

    def is_frozen(self) -> bool:
        stat = Path(f"/proc/{self.listener.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def goes_on(self) -> bool:
        """Return whether the listener runs; it gets ten seconds to wake up."""
        deadline = time.monotonic() + 10
        while self.is_frozen() and time.monotonic() < deadline:
            time.sleep(0.05)
        return not self.is_frozen()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    for process in (machine.listener, machine.worker):
        if process is not None:
            process.kill()
            process.wait()


def test_drain_stops_an_idle_instance_at_once(machine: Machine) -> None:
    assert machine.drain(0) == (True, 0.0)
    words = [call[1] for call in machine.calls]
    assert words == ["stop", "stop", "reset-failed"], machine.calls
    assert "--no-block" in machine.calls[0]
    assert machine.signals == [signal.SIGSTOP, signal.SIGINT, signal.SIGCONT]


def test_drain_waits_for_a_job_and_never_ends_it(machine: Machine) -> None:
    machine.worker = machine.start("Runner.Worker")
    assert machine.drain(5) == (False, 6.0)
    assert machine.calls == []
    assert machine.worker.poll() is None
    assert machine.listener.poll() is None
    machine.worker.kill()
    machine.worker.wait()
    assert machine.drain(5).stopped


def test_drain_spares_a_job_that_starts_before_the_stop(machine: Machine) -> None:
    machine.job_at = 1
    assert machine.drain(5) == (False, 6.0)
    assert machine.calls == []
    assert machine.worker is not None
    assert machine.worker.poll() is None
    assert machine.goes_on()


def test_drain_accepts_a_missing_listener(machine: Machine) -> None:
    machine.listener.kill()
    machine.listener.wait()
    assert machine.drain(5).stopped
    assert machine.signals == []


@pytest.fixture
def freezer(machine: Machine) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Return a function that starts a process which suspends the listener repeatedly."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", FREEZER, str(machine.listener.pid)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            process_group=0,  # the kernel stops no group without a parent that could wake it
        )
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(random.random() / 50)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_frozen_resumes_the_listener_before_a_signal_ends_the_process(
    machine: Machine, freezer: Callable[[], subprocess.Popen[bytes]], number: signal.Signals
) -> None:
    for _ in range(8):
        process = freezer()
        process.send_signal(number)
        assert process.wait(30) == -number
        assert machine.goes_on()


def test_frozen_resumes_the_listener_before_a_signal_stops_the_process(
    machine: Machine, freezer: Callable[[], subprocess.Popen[bytes]]
) -> None:
    process = freezer()
    for _ in range(8):
        process.send_signal(signal.SIGTSTP)
        os.waitpid(process.pid, os.WUNTRACED)
        assert machine.goes_on()
        process.send_signal(signal.SIGCONT)
        time.sleep(random.random() / 50)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / ".coldvox").mkdir()
    return Layout(str(tmp_path))


def test_claim_waits_for_healing(layout: Layout) -> None:
    healing = claim_lock(layout)
    assert healing.try_acquire()
    over = threading.Timer(0.3, healing.release)
    over.start()
    lock = claim(layout, "one")
    assert lock.held
    over.join()
    lock.release()


def test_claim_names_the_process_that_keeps_the_lock(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain_module, "_PATIENCE_SECONDS", 0.1)
    first = claim(layout, "one")
    with pytest.raises(CiError, match=r"'one' was left as it is, because process \d+ \(.+\) works on it"):
        claim(layout, "one")
    first.release()
