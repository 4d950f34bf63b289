"""The program ``Runner.Worker``: run one job and report it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any, Sequence

from .basics import WORKER_RESULTS, name_process, root_directory
from .broker import report
from .diagnostics import Diagnostics
from .job import Job
from .steps import CancelledError, StepRunner
from .tracking import kill_leftovers
from .transport import AnsweredError, Transport, UnreachableError

# GitHub keeps more; a job of the testbed with a longer log is out of control.
MAX_LOG_CHARACTERS = 1_000_000
REPORT_TRIES = 15


def main(argv: Sequence[str]) -> int:
    """Run the job and return the exit status of its result.

    The arguments are ``spawnclient <pipe> <runner id>``.
    """
    name_process("Runner.Worker")
    if len(argv) != 3 or argv[0] != "spawnclient":
        print("Runner.Worker is started by Runner.Listener.", file=sys.stderr)
        return 1
    signal.signal(signal.SIGINT, _cancel)
    signal.signal(signal.SIGTERM, _cancel)
    with os.fdopen(int(argv[1]), "rb") as pipe:
        message = json.load(pipe)
    root = root_directory()
    diagnostics = Diagnostics(root, "Worker")
    diagnostics.trace(f"Job {message['id']} ({message['name']}) of {message['repository']}")
    _report(message, "started", diagnostics)
    conclusion, steps = _run(Job(message, root), diagnostics)
    # The result is final from here on: another signal must not lose it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    body = {"conclusion": conclusion, "log": steps.log[-MAX_LOG_CHARACTERS:], "steps": steps.finished}
    _report(message, "completed", diagnostics, body)
    diagnostics.trace(f"Job {message['id']} completed with {conclusion}")
    return WORKER_RESULTS[conclusion]


def _cancel(_signal: int, _frame: object) -> None:
    raise CancelledError


def _run(job: Job, diagnostics: Diagnostics) -> tuple[str, StepRunner]:
    steps = StepRunner(job, diagnostics)
    try:
        job.prepare()
        started = steps.hook("ACTIONS_RUNNER_HOOK_JOB_STARTED", "Set up runner")
        worked = started and steps.script("Run script", job.script)
        # This hook runs after a failure too, but not in a cancelled job.
        completed = steps.hook("ACTIONS_RUNNER_HOOK_JOB_COMPLETED", "Complete runner")
        conclusion = "success" if worked and completed else "failure"
    except CancelledError:
        steps.note("The operation was canceled.")
        conclusion = "cancelled"
    except OSError as error:
        steps.note(f"The job could not be prepared: {error}")
        conclusion = "failure"
    for name in kill_leftovers(job.tracking_id):
        steps.note(f"Terminate orphan process: {name}")
    job.clean()
    return conclusion, steps


def _report(message: dict[str, Any], event: str, diagnostics: Diagnostics, body: Any = None) -> None:
    """Report an event of the job, with retries.

    The server may be restarted meanwhile, and the job must not lose its result.
    """
    for _ in range(REPORT_TRIES):
        try:
            report(Transport(), message["server"], message, event, body)
            return
        except AnsweredError as error:
            diagnostics.trace(f"The server refused the report that the job has {event}: {error}")
            if error.status < 500:
                return
        except UnreachableError as error:
            diagnostics.trace(f"The report that the job has {event} did not reach the server: {error}")
        time.sleep(2)
