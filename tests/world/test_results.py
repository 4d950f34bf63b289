"""The results of jobs, which their host records by itself a moment later."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from testbed.github.client import AdminClient

NAME = "laptop-extra-lint"
UNIT = f"coldvox-runner@{NAME}.service"
LABELS = ["fedora", "nobara", "fast-lint"]
FORGED = "2026-01-31 12:00:00Z: Job job completed with result: Succeeded"
WORKER = f"actions-runner/{NAME}/[b]in/Runner.Worker"
# Healing starts a missing watcher, and its timer elapses after 70 seconds at most.
PATIENCE_SECONDS = 90
Shell = Callable[..., str]


def recorded(shell: Shell, job: dict[str, Any], *, until: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Return the history's record of ``job`` as soon as ``until`` is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        # The command exits with 1 when too many jobs failed, as here.
        jobs = json.loads(shell("runnerctl history --json || true"))["jobs"]
        matching = [entry for entry in jobs if entry["run_id"] == job["run_id"]]
        assert len(matching) <= 1, matching
        if matching and until(matching[0]):
            whole: dict[str, Any] = matching[0]
            return whole
        assert time.monotonic() < deadline, f"the history has {matching} of {job}"
        time.sleep(0.5)


def wait_for_watcher(shell: Shell, *, present: bool) -> None:
    """Wait until root's watcher of a job on NAME runs, or until none runs.

    A watcher that still runs after the job before can see this job before its first hook has recorded its
    name. Then it calls the job "a job".
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (f"job on {NAME}" in shell("systemd-inhibit --list --no-pager")) is not present:
        assert time.monotonic() < deadline, f"a watcher of the job runs: {not present}"
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("script", "result"),
    [
        ("sleep 2", "success"),
        ("sleep 2; exit 1", "failure"),
        ("exit 1", "failure"),
        # Write it to the journal of the same unit as the same user.
        (f"logger '{FORGED}'; sleep 1; exit 1", "failure"),
    ],
)
def test_history_records_the_result_of_a_job(
    shell: Shell, github: AdminClient, script: str, result: str
) -> None:
    done = github.wait_for_job(github.queue_job(LABELS, script))
    assert done["conclusion"] == result, done
    job = recorded(shell, done, until=lambda record: record["result"])
    assert (job["result"], job["instance"]) == (result, NAME)
    assert job["duration_seconds"] is not None


@pytest.mark.parametrize(
    ("accident", "result"),
    [
        # A listener that is stopped cancels its job and exits.
        (f"systemctl stop {UNIT}; systemctl start {UNIT}", "cancelled"),
        (f"pkill -KILL -f {WORKER}", "failure"),
    ],
)
def test_history_records_a_job_whose_last_hook_never_ran(
    shell: Shell, github: AdminClient, accident: str, result: str
) -> None:
    # The watcher of the job before may still run, and would be taken for that of this job.
    wait_for_watcher(shell, present=False)
    number = github.queue_job(LABELS, "sleep 120")
    # Without root's watcher, the result of a job whose listener died is unknown.
    wait_for_watcher(shell, present=True)
    shell(accident)
    done = github.wait_for_job(number)
    assert done["conclusion"] == result, done
    job = recorded(shell, done, until=lambda record: record["result"])
    assert job["result"] == result
    assert job["started_at"] < job["completed_at"]


def test_results_directory_is_not_writable_for_a_job(shell: Shell) -> None:
    account = shell(f"stat -c %U /var/lib/actions-runner/{NAME}/.runner").strip()
    tried = f"runuser -u {account} -- touch /run/coldvox-ci/results/x || echo refused"
    assert shell(tried).strip() == "refused"
