"""A job finds nothing of the last one, and none is lost between two listeners."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from testbed.github.client import AdminClient

NAMES = ("laptop-extra", "laptop-extra-test", "laptop-extra-lint")
NAME = NAMES[-1]
UNIT = f"coldvox-runner@{NAME}.service"
#: The labels of all three instances, and those of NAME alone.
ANY, LABELS = ["fedora", "nobara"], ["fedora", "nobara", "fast-lint"]
JOBS = 100
KILLS = 3
Shell = Callable[..., str]

# A job that looks for traces of another, and leaves as many as it can.
TRACES = r"""
places="$HOME $RUNNER_TEMP $GITHUB_WORKSPACE /tmp /var/tmp /dev/shm /run/lock $HOME/../"
found=$(find $places -name 'trace-*' 2>/dev/null || true)
[ -z "$found" ] || { echo "LEFT $found"; exit 1; }
if pgrep -u "$(id -u)" -f 'sleep 4[2]42'; then echo LEFT a process; exit 1; fi
for place in $places; do touch "$place/trace-$GITHUB_RUN_ID" 2>/dev/null || true; done
env -i setsid sleep 4242 </dev/null >/dev/null 2>&1 &
exit 0
"""


def test_hundred_jobs_run_once_each_in_spite_of_kills(shell: Shell, github: AdminClient) -> None:
    numbers = [github.queue_job(ANY, TRACES, name=f"job {number}") for number in range(JOBS)]
    deadline = time.monotonic() + 540
    killed = 0
    while True:
        jobs = [github.job(number) for number in numbers]
        done = [job for job in jobs if job["status"] == "completed"]
        if len(done) == JOBS:
            break
        assert time.monotonic() < deadline, f"{len(done)} of {JOBS} jobs are done"
        if killed < KILLS and len(done) > (killed + 1) * JOBS // (KILLS + 2):
            # Between two jobs or while it waits: a listener without a worker may be assigned a job just now.
            shell(
                f"pgrep -f actions-runner/{NAMES[killed % 3]}/bin/[R]unner.Worker >/dev/null || "
                f"systemctl kill --signal=KILL coldvox-runner@{NAMES[killed % 3]}.service"
            )
            killed += 1
        time.sleep(0.5)
    failed = [job for job in jobs if job["conclusion"] != "success"]
    assert not failed, [(job["name"], job["conclusion"], job["log"][-500:]) for job in failed]


def test_no_process_of_a_job_outlives_it(shell: Shell, github: AdminClient) -> None:
    script = "env -i setsid sleep 5353 </dev/null >/dev/null 2>&1 & sleep 1"
    done = github.wait_for_job(github.queue_job(LABELS, script))
    assert done["conclusion"] == "success", done
    assert github.wait_for_job(github.queue_job(LABELS, "true"))["conclusion"] == "success"
    assert shell("pgrep -f 'sleep 5[3]53' || true").strip() == ""


@pytest.mark.parametrize(
    "spoil",
    [
        "rm -f {root}/.runner",
        """sed -i 's#"serverUrl[^,]*#"serverUrl": "http://127.0.0.1:9/"#' {root}/.runner""",
        "rm -f {root}/.credentials; ln -s /etc/passwd {root}/.credentials",
        "rm -f {root}/run-helper.sh; mkdir {root}/run-helper.sh",
        "cp /bin/false $HOME/bash; echo '#!/bin/false' > {root}/.runner_migrated",
    ],
)
def test_job_cannot_break_the_next_listener(github: AdminClient, spoil: str) -> None:
    root = f"/var/lib/actions-runner/{NAME}"
    github.wait_for_job(github.queue_job(LABELS, spoil.format(root=root)))
    done = github.wait_for_job(github.queue_job(LABELS, "true"))
    assert done["conclusion"] == "success", done


def test_listener_that_ends_without_a_job_does_not_start_again_at_once(shell: Shell) -> None:
    drop_in = f"/run/systemd/system/{UNIT}.d/90-ends.conf"
    before = (
        f"mkdir -p $(dirname {drop_in}); printf '[Service]\\nExecStart=\\nExecStart=/bin/true\\n' > {drop_in}"
    )
    try:
        shell(f"{before}; systemctl daemon-reload; systemctl restart {UNIT}")
        time.sleep(12)
        restarts = int(shell(f"systemctl show -p NRestarts --value {UNIT}"))
        assert 1 <= restarts <= 4, restarts
    finally:
        shell(f"rm {drop_in}; systemctl daemon-reload; systemctl restart {UNIT}")


def test_heal_takes_the_end_of_a_job_for_no_fault(shell: Shell, github: AdminClient) -> None:
    for _ in range(6):
        assert github.wait_for_job(github.queue_job(LABELS, "true"))["conclusion"] == "success"
    state = json.loads(shell("runnerctl heal --json"))
    assert not state["actions"], state
    assert not state["needs_person"], state
