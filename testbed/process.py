"""Running programs, and identifying those that outlive their starter."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from testbed.errors import TestbedError

TAIL_LINES = 20
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_children: set[subprocess.Popen[bytes]] = set()
_children_lock = threading.Lock()
_abandoned = threading.Event()


class Outcome(NamedTuple):
    """The result of a finished program.

    ``status`` is 127 for a missing program and 124 for one that exceeded its time.
    """

    status: int
    stdout: str
    stderr: str

    @property
    def reason(self) -> str:
        """The last line of the output: most programs say there what went wrong."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return lines[-1].strip() if lines else f"exit status {self.status}"


@dataclasses.dataclass(frozen=True)
class Identity:
    """A process, identified beyond doubt.

    The kernel reuses process ids, but not together with the start time and the boot id.
    """

    pid: int
    start_ticks: int
    boot_id: str


def capture(
    argv: Sequence[str],
    *,
    timeout_seconds: float = 60,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Run ``argv`` to its end and return its output."""
    status, out, err = capture_bytes(argv, timeout_seconds=timeout_seconds, environment=environment)
    return Outcome(status, out.decode(errors="replace"), err)


def capture_bytes(
    argv: Sequence[str],
    *,
    timeout_seconds: float = 60,
    stdin: bytes | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, bytes, str]:
    """Run ``argv`` to its end; return status, output as bytes, and errors as text."""
    try:
        with _tracked(argv, environment, stdin is not None, stderr=subprocess.PIPE) as child:
            try:
                out, err = child.communicate(stdin, timeout=timeout_seconds)
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
                return 124, b"", f"{argv[0]}: no end after {timeout_seconds:g} s"
            return child.returncode, out, err.decode(errors="replace")
    except FileNotFoundError:
        return 127, b"", f"{argv[0]}: not found"


def stream(
    argv: Sequence[str],
    *,
    log: Path,
    report: Callable[[str], None] = lambda _line: None,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Run ``argv`` to its end, report each line, and write all lines to ``log``.

    ``stdout`` of the outcome holds the last lines of both streams.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    tail: collections.deque[str] = collections.deque(maxlen=TAIL_LINES)
    try:
        with log.open("wb") as kept, _tracked(argv, environment, False, stderr=subprocess.STDOUT) as child:
            if child.stdout is None:
                raise AssertionError("the child was started with a pipe")
            for raw in child.stdout:
                kept.write(raw)
                line = raw.decode(errors="replace").rstrip()
                if line:
                    tail.append(line)
                    report(line)
            return Outcome(child.wait(), "\n".join(tail), "")
    except FileNotFoundError:
        return Outcome(127, "", f"{argv[0]}: not found")


@contextlib.contextmanager
def _tracked(
    argv: Sequence[str], environment: Mapping[str, str] | None, feeds_stdin: bool, stderr: int
) -> Iterator[subprocess.Popen[bytes]]:
    # The lock covers the check and the start, so that no program starts after abandoned() has ended them all.
    with _children_lock:
        if _abandoned.is_set():
            raise TestbedError(
                f"The program {argv[0]} was not started, because another step failed; correct that first."
            )
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if feeds_stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=None if environment is None else {**os.environ, **environment},
        )
        _children.add(child)
    try:
        with child:
            yield child
    finally:
        with _children_lock:
            _children.discard(child)


def terminate_children() -> None:
    """End every program that ``capture`` and ``stream`` are waiting for."""
    with _children_lock:
        for child in _children:
            child.terminate()


@contextlib.contextmanager
def abandoned() -> Iterator[None]:
    """End the programs that other threads wait for, for a ``with`` block.

    Until the block ends, no thread can start another one.
    """
    _abandoned.set()
    terminate_children()
    try:
        yield
    finally:
        _abandoned.clear()


def spawn(
    argv: Sequence[str], *, log: Path, cwd: Path, environment: Mapping[str, str] | None = None
) -> Identity:
    """Start ``argv`` so that it outlives this command and the terminal.

    Its output goes to ``log``.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    return identify(child.pid) or Identity(child.pid, 0, "gone")


def identify(pid: int) -> Identity | None:
    """Return the identity of a living process, or None; a zombie counts as gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        boot_id = BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return None
    # Field 2, the name, is in parentheses and may hold any character: count the fields after it.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else Identity(pid, int(fields[19]), boot_id)


def alive(process: Identity) -> bool:
    """Return whether exactly this process still runs."""
    return identify(process.pid) == process


def stop(process: Identity, grace_seconds: float = 10) -> bool:
    """End exactly this process and return whether it was running.

    Sends SIGTERM, and SIGKILL after ``grace_seconds``.
    """
    if not alive(process):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while alive(process):
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            deadline += grace_seconds
        _reap(process.pid)
        time.sleep(0.05)
    return True


def _reap(pid: int) -> None:
    """Collect the exit status if the process is our own child."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def last_line(log: Path, containing: str = "") -> str:
    """Return the last line of a log that is not empty and has ``containing``."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    return next(
        (line.strip() for line in reversed(lines) if line.strip() and containing in line),
        "it does not say why",
    )
