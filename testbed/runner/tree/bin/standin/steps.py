"""The steps of a job: hooks and script, each run by bash in the workspace."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .diagnostics import Diagnostics
from .job import Job

TERMINATE_SECONDS = 5.0


class CancelledError(Exception):
    """The job was cancelled."""


class StepRunner:
    """The steps of a job in order, with their output and times."""

    def __init__(self, job: Job, diagnostics: Diagnostics) -> None:
        self._job = job
        self._diagnostics = diagnostics
        self._lines: list[str] = []
        self.finished: list[dict[str, Any]] = []

    @property
    def log(self) -> str:
        return "\n".join(self._lines)

    def note(self, line: str) -> None:
        self._lines.append(line)
        self._diagnostics.trace(line)

    def hook(self, variable: str, name: str) -> bool:
        """Run the hook that ``variable`` names; return True if it succeeds or is unset."""
        hook = self._job.environment.get(variable, "")
        if not hook:
            return True
        complaint = _unusable(Path(hook))
        if complaint:
            self.note(f"Error: {variable}: {complaint}")
            self._finish(name, _now(), "failure")
            return False
        return self._run(name, hook)

    def script(self, name: str, text: str) -> bool:
        """Run ``text`` with ``bash -e`` and return whether it succeeded."""
        path = self._job.temp / f"{uuid.uuid4()}.sh"
        path.write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8")
        return self._run(name, str(path))

    def _run(self, name: str, script: str) -> bool:
        self.note(f"##[group]{name}")
        started, conclusion = _now(), "cancelled"
        try:
            status = self._bash(script)
            conclusion = "success" if status == 0 else "failure"
            if status != 0:
                self.note(f"##[error]Process completed with exit code {status}.")
        finally:
            self._finish(name, started, conclusion)
        self._job.apply_commands()
        return status == 0

    def _bash(self, script: str) -> int:
        child = subprocess.Popen(
            ["bash", "-e", script],
            cwd=self._job.workspace,
            env=self._job.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return self._follow(child)
        except CancelledError:
            _end_group(child)
            raise

    def _follow(self, child: subprocess.Popen[bytes]) -> int:
        """Log the output until the script itself has ended.

        A process that the script started may still hold the pipe.
        """
        pipe = child.stdout
        if pipe is None:
            raise AssertionError("the child was started with a pipe")
        os.set_blocking(pipe.fileno(), False)
        pending = b""
        while True:
            ended = child.poll() is not None
            content = pipe.read()
            if content:
                *whole, pending = (pending + content).split(b"\n")
                for line in whole:
                    self.note(line.decode(errors="replace"))
            elif ended or content == b"":
                break
            else:
                select.select([pipe], [], [], 0.1)
        if pending:
            self.note(pending.decode(errors="replace"))
        pipe.close()
        return child.wait()

    def _finish(self, name: str, started: str, conclusion: str) -> None:
        self.note("##[endgroup]")
        step = {"name": name, "conclusion": conclusion, "started_at": started, "completed_at": _now()}
        self.finished.append(step)


def _unusable(hook: Path) -> str:
    if not hook.is_absolute():
        return f"the path {hook} is not absolute"
    if hook.suffix not in (".sh", ".ps1"):
        return f"{hook} is not a valid file path: it must end in .sh or .ps1"
    if not hook.is_file():
        return f"File doesn't exist: {hook}"
    return ""


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End a script and its children: SIGINT, then SIGTERM, then SIGKILL."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if _ended_by(child, number):
            return


def _ended_by(child: subprocess.Popen[bytes], number: int) -> bool:
    try:
        os.killpg(child.pid, number)
        child.wait(TERMINATE_SECONDS)
    except ProcessLookupError:
        child.wait()
    except subprocess.TimeoutExpired:
        return False
    return True


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
