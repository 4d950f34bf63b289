"""Run the stages of ``make test`` and end with one plain line.

``N passed, N failed``. A check counts as one test, or as the cases of the JUnit file that it writes. The
checks run in three lanes side by side: two mostly wait for SSH, systemd and jobs, each on hosts of its own,
and one computes. A lane whose hosts are done helps to compute.

With several lanes, each check's output goes to a log and is shown whole when the check ends. With one lane
(for example ``make unit``) the output is shown as it comes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from scripts.stages import CHECKOUT, REPORTS, STAGES, Check

INTERRUPTED = 130
#: A person, and a CI that ends silent jobs, must see that the run goes on.
SIGN_OF_LIFE_SECONDS = 30.0
#: What an interrupted check may take to clean up before SIGKILL.
GRACE_SECONDS = 20.0
#: Without bytecode, each of a thousand Python processes would compile the library and the tests again.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
#: On two busy cores, sudo on a host may need more than the 12 seconds that Ansible waits.
ENVIRONMENT.setdefault("ANSIBLE_TIMEOUT", "60")
#: The stages with hosts of their own; a lane whose hosts are done helps with the other stages.
WAITING = ("roles", "site")
Queue = deque[tuple[str, Check]]


@dataclasses.dataclass
class Tally:
    """What has been counted so far.

    ``notes`` are the names of failures and the reasons of skips.
    """

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def counts(self) -> str:
        """The last line of the run."""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"

    def add_check(self, name: str, *, ok: bool) -> None:
        """Count a command as one test."""
        self.passed += ok
        self.failed += not ok
        if not ok:
            self.notes.append(f"FAILED  {name}")

    def add_junit(self, name: str, report: Path, *, ok: bool) -> None:
        """Count the cases of a JUnit file.

        A command that failed without a failed case counts as one.
        """
        failed_before = self.failed
        try:
            cases = list(ET.parse(report).iter("testcase"))
        except ET.ParseError:  # its writer was killed
            cases, ok = [], False
        for case in cases:
            title = f"{name}: {case.get('classname')}.{case.get('name')}"
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed += 1
                self.notes.append(f"FAILED  {title}")
            elif skip is not None:
                self.skipped += 1
                self.notes.append(f"SKIPPED {title}: {skip.get('message')}")
            else:
                self.passed += 1
        if not ok and self.failed == failed_before:
            self.add_check(name, ok=False)


@dataclasses.dataclass
class Result:
    """The time of one check.

    ``cpu_seconds`` are those of its own processes, without hosts and services.
    """

    name: str
    stage: str
    seconds: float
    cpu_seconds: float


class Run:
    """The checks of one run: those that run now, and the results of those that ended."""

    def __init__(self, *, live: bool) -> None:
        self.live = live
        self.tally = Tally()
        self.results: list[Result] = []
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._running: dict[str, tuple[subprocess.Popen[bytes], float]] = {}
        self._stopped = False

    def lane(self, *queues: Queue) -> None:
        """Run the checks of each queue, one after the other.

        Other lanes may take from the same queue.
        """
        for queue in queues:
            while queue:
                try:
                    stage, check = queue.popleft()
                except IndexError:  # another lane took the last check
                    break
                self._perform(stage, check)

    def wait(self, lanes: list[Future[None]]) -> bool:
        """Return when all lanes have ended.

        True, or False after an interrupt, which ends the checks.
        """
        try:
            while wait(lanes, timeout=SIGN_OF_LIFE_SECONDS).not_done:
                self._show_sign_of_life()
        except KeyboardInterrupt:
            self._end(lanes)
            return False
        return True

    def summary(self) -> str:
        """Return the table of seconds, the notes, and the counts."""
        rows = [f"{'seconds':>8}{'of CPU':>8}"]
        for stage in dict.fromkeys(result.stage for result in self.results):
            checks = [result for result in self.results if result.stage == stage]
            rows.append(row(stage, sum(c.seconds for c in checks), sum(c.cpu_seconds for c in checks)))
            rows += [row(f"  {c.name}", c.seconds, c.cpu_seconds) for c in checks]
        rows.append(row("together", time.monotonic() - self._begun, sum(c.cpu_seconds for c in self.results)))
        return "\n".join(["", *rows, "", *self.tally.notes, self.tally.counts])

    def _perform(self, stage: str, check: Check) -> None:
        if check.junit:
            check.junit.unlink(missing_ok=True)
        log = log_of(check.name)
        with log.open("wb") as output:
            child = self._start(check, None if self.live else output.fileno())
            if child is None:
                return
            # Not Popen.wait(): only wait4() gives the processor time of this check alone.
            _pid, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        with self._lock:
            _child, begun = self._running.pop(check.name)
            result = Result(check.name, stage, time.monotonic() - begun, usage.ru_utime + usage.ru_stime)
            self._report(check, result, log, ok=child.returncode == 0)

    def _start(self, check: Check, output: int | None) -> subprocess.Popen[bytes] | None:
        # Under the lock, so that no check starts after the interrupt.
        with self._lock:
            if self._stopped:
                return None
            print(f"== {check.name}", flush=True)
            child = subprocess.Popen(
                check.argv,
                env={**ENVIRONMENT, **check.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output and subprocess.STDOUT,
                # The terminal's Ctrl-C reaches this process alone, which passes it on.
                start_new_session=True,
            )
            self._running[check.name] = (child, time.monotonic())
            return child

    def _report(self, check: Check, result: Result, log: Path, *, ok: bool) -> None:
        if not self.live:
            print(f"\n== output of {check.name}", flush=True)
            with log.open("rb") as output:
                shutil.copyfileobj(output, sys.stdout.buffer)
        if check.junit and check.junit.exists():
            self.tally.add_junit(check.name, check.junit, ok=ok)
        else:
            self.tally.add_check(check.name, ok=ok)
        self.results.append(result)
        print(f"== {check.name}: {'ok' if ok else 'FAILED'} in {result.seconds:.0f} s\n", flush=True)

    def _show_sign_of_life(self) -> None:
        if self.live:
            return
        with self._lock:
            for name, (_child, begun) in self._running.items():
                seconds = time.monotonic() - begun
                print(f"   … {name}, {seconds:.0f} s: {last_line(log_of(name))}", flush=True)

    def _end(self, lanes: list[Future[None]]) -> None:
        for number in (signal.SIGINT, signal.SIGKILL):
            with self._lock:
                self._stopped = True
                for child, _begun in self._running.values():
                    with contextlib.suppress(ProcessLookupError):  # its lane reports its end a moment later
                        os.killpg(child.pid, number)
            # A second Ctrl-C does not wait for the clean-up.
            with contextlib.suppress(KeyboardInterrupt):
                wait(lanes, timeout=GRACE_SECONDS)


def row(name: str, seconds: float, cpu_seconds: float) -> str:
    """Return one line of the table."""
    return f"{seconds:8.0f}{cpu_seconds:8.0f}  {name}"


def log_of(name: str) -> Path:
    """Return the file that keeps what a check printed."""
    return REPORTS / f"{name.replace(' ', '-')}.log"


def last_line(log: Path, width: int = 90) -> str:
    """Return the last line of a log, cut to ``width`` characters; empty without one."""
    with log.open("rb") as lines:
        lines.seek(max(0, log.stat().st_size - 4096))
        text = lines.read().decode(errors="replace")
    return next((line.strip()[:width] for line in reversed(text.splitlines()) if line.strip()), "")


def main(names: list[str]) -> int:
    """Run the named stages, or all, and print the summary."""
    # What a shell starts in the background ignores SIGINT, and so would everything that the tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(CHECKOUT)
    REPORTS.mkdir(parents=True, exist_ok=True)
    chosen = [stage for stage in STAGES if stage in names or not names]
    computing = deque((stage, check) for stage in chosen if stage not in WAITING for check in STAGES[stage]())
    waiting = [deque((stage, check) for check in STAGES[stage]()) for stage in chosen if stage in WAITING]
    lanes = [*((queue, computing) for queue in waiting), *([(computing,)] if computing else [])]
    run = Run(live=len(lanes) == 1)
    with ThreadPoolExecutor(len(lanes)) as pool:
        futures = [pool.submit(run.lane, *lane) for lane in lanes]
        finished = run.wait(futures)
        for future in futures:
            future.result()
    if not finished:
        run.tally.notes.append(
            "INTERRUPTED; hosts may still run, '.venv/bin/python -m testbed down --world test', "
            "'… --world roles' and '… --world kernel' end them"
        )
    print(run.summary())
    if not finished:
        return INTERRUPTED
    return int(run.tally.failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
