"""The listener's loop: one session, and one job at a time until it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, Optional

from . import registration
from .basics import RESULT_NAMES, SESSION_CONFLICT, SUCCESS, TERMINATED, WORKER_RESULTS, version
from .broker import Broker
from .diagnostics import Diagnostics
from .transport import AnsweredError, UnreachableError

# The original waits 30 s between tries and gives up after 4 minutes of conflict. The pause is shorter here,
# so that tests of a crash end sooner; the limit is the original's unless a test sets another one.
RETRY_SECONDS = 2.0
CONFLICT_LIMIT_SECONDS = float(os.environ.get("STANDIN_SESSION_CONFLICT_LIMIT_SECONDS", "240"))
RENEW_SECONDS = 3.0
CANCEL_SECONDS = 30.0

DELETED_AT_START = (
    "Failed to create a session. The runner registration has been deleted from the server, "
    "please re-configure. Runner registrations are automatically deleted for runners that have not connected "
    "to the service recently."
)


class StopRequestedError(Exception):
    """A signal asked the listener to stop."""


class ListenerLoop:
    """The loop that runs the jobs of one registration."""

    def __init__(self, root: Path, terminal: Diagnostics, *, once: bool) -> None:
        self._root = root
        self._terminal = terminal
        self._registration = registration.load(root)
        self._one_job = once or self._registration.ephemeral
        self._broker = Broker(root, self._registration.server_url)
        self._interruptible = False
        self._stopping = False

    def interrupted(self, _signal: int, _frame: Optional[FrameType]) -> None:
        """Handle SIGINT and SIGTERM.

        A wait ends at once; outside of a wait the next one does not begin.
        """
        self._stopping = True
        if self._interruptible:
            self._interruptible = False
            raise StopRequestedError

    def run(self) -> int:
        """Run until the end and return the exit status.

        The loop ends when it is stopped, its only job is done, its registration is gone, or another session
        stays open.
        """
        try:
            status = self._open()
            if status is None:
                self._terminal.say(f"Current runner version: '{version()}'")
                self._terminal.say_with_time("Listening for Jobs")
                status = self._serve()
        except StopRequestedError:
            status = SUCCESS
            self._terminal.say("Exiting...")
        self._close()
        return status

    def _pause(self, seconds: float) -> None:
        self._wait_begins()
        time.sleep(seconds)
        self._interruptible = False

    def _wait_begins(self) -> None:
        if self._stopping:
            raise StopRequestedError
        self._interruptible = True

    def _open(self) -> Optional[int]:
        """Connect, with retries; return None when connected.

        Returns an exit status when retries cannot help.
        """
        conflict_since: Optional[float] = None
        while True:
            try:
                self._wait_begins()
                self._broker.open()
                self._interruptible = False
                self._terminal.say("\n√ Connected to GitHub\n")
                return None
            except AnsweredError as error:
                self._interruptible = False
                if error.status in (400, 404):
                    self._terminal.complain(DELETED_AT_START)
                    return TERMINATED
                if error.status == 409:
                    conflict_since = conflict_since or time.monotonic()
                    self._terminal.complain("A session for this runner already exists.")
                    if time.monotonic() - conflict_since > CONFLICT_LIMIT_SECONDS:
                        return SESSION_CONFLICT
                else:
                    self._terminal.say_with_time(
                        f"Runner connect error: {error}. Retrying until reconnected."
                    )
            except UnreachableError as error:
                self._interruptible = False
                self._terminal.say_with_time(f"Runner connect error: {error}. Retrying until reconnected.")
            self._pause(RETRY_SECONDS)

    def _serve(self) -> int:
        connected = True
        while True:
            try:
                self._wait_begins()
                job = self._broker.next_job()
                self._interruptible = False
            except AnsweredError as error:
                self._interruptible = False
                ended = self._refused(error)
                if ended is not None:
                    return ended
                continue
            except UnreachableError as error:
                self._interruptible = False
                if connected:
                    message = f"Runner connect error: {error}. Retrying until reconnected."
                    self._terminal.say_with_time(message)
                connected = False
                self._pause(RETRY_SECONDS)
                continue
            if not connected:
                self._terminal.say_with_time("Runner reconnected.")
                connected = True
            if job is not None:
                self._perform(job)
                if self._one_job:
                    return self._after_only_job()

    def _refused(self, error: AnsweredError) -> Optional[int]:
        """Return the exit status if the server's refusal of a poll ends this runner."""
        if error.status == 404:
            self._terminal.say("The runner no longer exists on the server. Cleaning up local configuration.")
            registration.delete(self._root)
            return SUCCESS
        if error.status in (401, 410):
            # The server forgot the session or the token; the registration may still be there.
            return self._open()
        self._terminal.trace(str(error))
        self._pause(RETRY_SECONDS)
        return None

    def _after_only_job(self) -> int:
        if self._registration.ephemeral:
            registration.delete(self._root)
        return SUCCESS

    def _perform(self, job: dict[str, Any]) -> None:
        """Run one job in a worker process and renew the server's lease on it."""
        self._terminal.say_with_time(f"Running job: {job['name']}")
        worker = self._start_worker(job)
        try:
            while True:
                self._wait_begins()
                try:
                    worker.wait(RENEW_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    self._interruptible = False
                    self._renew(job)
            self._interruptible = False
        except StopRequestedError:
            self._cancel(worker)
        names = {code: RESULT_NAMES[result] for result, code in WORKER_RESULTS.items()}
        result = names.get(worker.returncode)
        if result is None:
            result = "Failed"
            self._report_lost_worker(job, worker.returncode)
        self._terminal.say_with_time(f"Job {job['name']} completed with result: {result}")

    def _start_worker(self, job: dict[str, Any]) -> subprocess.Popen[bytes]:
        reading, writing = os.pipe()
        message = {**job, "server": self._registration.server_url, "runner": self._registration.agent_name}
        program = str(self._root / "bin" / "Runner.Worker")
        worker = subprocess.Popen(
            [sys.executable, program, "spawnclient", str(reading), str(self._registration.agent_id)],
            pass_fds=[reading],
            stdin=subprocess.DEVNULL,
            cwd=self._root,
            # Ctrl-C at the terminal goes to the listener only, which then interrupts the worker.
            start_new_session=True,
        )
        os.close(reading)
        # The job's token goes through the pipe: every user can read a command line.
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(json.dumps(message).encode())
        return worker

    def _renew(self, job: dict[str, Any]) -> None:
        try:
            self._broker.renew(job)
        except (AnsweredError, UnreachableError) as error:
            self._terminal.trace(f"The job could not be renewed: {error}")

    def _cancel(self, worker: subprocess.Popen[bytes]) -> None:
        worker.send_signal(signal.SIGINT)
        try:
            worker.wait(CANCEL_SECONDS)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()

    def _report_lost_worker(self, job: dict[str, Any], status: int) -> None:
        try:
            self._broker.finish(job, "failure", f"The worker ended with {status} and no result.")
        except (AnsweredError, UnreachableError) as error:
            self._terminal.trace(f"The end of the job could not be reported: {error}")

    def _close(self) -> None:
        try:
            self._broker.close()
        except UnreachableError as error:
            self._terminal.trace(f"The session could not be closed: {error}")
