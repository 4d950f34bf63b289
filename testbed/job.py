"""The command ``job``: queue a job on the GitHub emulator and follow it."""

from __future__ import annotations

import dataclasses
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from testbed.errors import TestbedError
from testbed.world import REPOSITORY, World

POLL_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class JobRequest:
    """A job: its name, the labels that one runner must have, and a shell script."""

    name: str
    runs_on: tuple[str, ...]
    script: str
    repository: str = REPOSITORY

    def body(self) -> dict[str, Any]:
        """Return the request as the emulator expects it."""
        return {
            "repository": self.repository,
            "name": self.name,
            "runs_on": list(self.runs_on),
            "script": self.script,
        }


def run_job(world: World, request: JobRequest, timeout_seconds: float, say: Callable[[str], None]) -> bool:
    """Queue the job, print its status and log as they change, and wait for its end.

    Returns whether the job succeeded; raises TestbedError after ``timeout_seconds``.
    """
    job_id = call(f"{world.emulator_url}/_testbed/jobs", world, request.body())["id"]
    say(f"job {job_id} is queued for a runner with {', '.join(request.runs_on)}")
    deadline = time.monotonic() + timeout_seconds
    status, shown = "queued", 0
    while True:
        job = call(f"{world.emulator_url}/_testbed/jobs/{job_id}", world)
        if job["status"] != status:
            status = job["status"]
            say(status_line(job))
        shown = show_log(job.get("log") or "", shown, final=status == "completed", say=say)
        if status == "completed":
            say(f"result: {job['conclusion']}")
            return bool(job["conclusion"] == "success")
        if time.monotonic() > deadline:
            raise TestbedError(
                f"The job {job_id} is {status} after {timeout_seconds:.0f} s; check that a runner with "
                f"the labels {', '.join(request.runs_on)} is online."
            )
        time.sleep(POLL_SECONDS)


def status_line(job: dict[str, Any]) -> str:
    """Return one line about a job's new status."""
    runner = f" on {job['runner_name']}" if job.get("runner_name") else ""
    return f"{job['status'].replace('_', ' ')}{runner}"


def show_log(log: str, shown: int, *, final: bool, say: Callable[[str], None]) -> int:
    """Print the whole lines after the first ``shown`` characters of the log.

    Returns the number of characters that are printed now.
    """
    end = len(log) if final else log.rfind("\n") + 1
    for line in log[shown:end].splitlines():
        say(f"  | {line}")
    return max(end, shown)


def call(url: str, world: World, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the emulator's decoded answer; raises TestbedError."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            result: dict[str, Any] = json.load(answer)
            return result
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace").strip()[:300]
        raise TestbedError(
            f"The emulator refused {url} with {error.code} ({said}); correct the job's options."
        ) from error
    except OSError as error:
        raise TestbedError(
            f"The emulator does not answer at {url} ({error}); start it with "
            f"'python -m testbed up --world {world.name}'."
        ) from error
