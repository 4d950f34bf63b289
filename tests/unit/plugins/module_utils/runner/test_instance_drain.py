"""A stop never ends a job: real processes, a systemctl of the test's own."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import Result
from ansible_collections.coldvox.ci.plugins.module_utils.runner.account import Host
from ansible_collections.coldvox.ci.plugins.module_utils.runner.drain import drain
from ansible_collections.coldvox.ci.plugins.module_utils.runner.layout import Layout

UNIT = "coldvox-runner@one.service"
PROGRAM = "import time; print(flush=True); time.sleep(600)\n"

# Almost all of its time the process that it is told is frozen.
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
    """One instance: its listener runs, jobs come when the test says so."""

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
        """Pass a signal on; a job comes in just before the ``job_at``-th one."""
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
        """Tell whether the listener runs; it gets ten seconds to wake up."""
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


def test_an_idle_instance_is_stopped_at_once(machine: Machine) -> None:
    assert machine.drain(0) == (True, 0.0)
    assert machine.calls == [["systemctl", "stop", "--no-block", UNIT], ["systemctl", "stop", UNIT]]
    assert machine.signals == [signal.SIGSTOP, signal.SIGINT, signal.SIGCONT]


def test_a_job_is_waited_for_and_outlives_the_time_out(machine: Machine) -> None:
    machine.worker = machine.start("Runner.Worker")
    assert machine.drain(5) == (False, 6.0)
    assert machine.calls == []
    assert machine.worker.poll() is None
    assert machine.listener.poll() is None
    machine.worker.kill()
    machine.worker.wait()
    assert machine.drain(5).stopped


def test_a_job_that_comes_between_look_and_stop_is_not_ended(machine: Machine) -> None:
    machine.job_at = 1
    assert machine.drain(5) == (False, 6.0)
    assert machine.calls == []
    assert machine.worker is not None
    assert machine.worker.poll() is None
    assert machine.goes_on()


def test_a_listener_that_is_gone_is_no_trouble(machine: Machine) -> None:
    machine.listener.kill()
    machine.listener.wait()
    assert machine.drain(5).stopped
    assert machine.signals == []


@pytest.fixture
def freezer(machine: Machine) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Return what starts a process that freezes the listener again and again."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", FREEZER, str(machine.listener.pid)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            process_group=0,  # the kernel stops no group that nobody could wake
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
def test_whoever_is_told_to_end_leaves_no_listener_frozen(
    machine: Machine, freezer: Callable[[], subprocess.Popen[bytes]], number: signal.Signals
) -> None:
    for _ in range(8):
        process = freezer()
        process.send_signal(number)
        assert process.wait(30) == -number
        assert machine.goes_on()


def test_whoever_is_stopped_stops_no_listener(
    machine: Machine, freezer: Callable[[], subprocess.Popen[bytes]]
) -> None:
    process = freezer()
    for _ in range(8):
        process.send_signal(signal.SIGTSTP)
        os.waitpid(process.pid, os.WUNTRACED)
        assert machine.goes_on()
        process.send_signal(signal.SIGCONT)
        time.sleep(random.random() / 50)
