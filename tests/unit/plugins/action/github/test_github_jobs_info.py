"""``github_jobs_info`` by Ansible, over HTTP, on a host that cannot be reached."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from testbed.github.state import Job
from tests._support.controller import Controller

NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)


def job(run: Controller, number: int, *, of: int, queued: int = 0, **fields: Any) -> None:
    """Put a job into the history, queued so many minutes after noon."""
    created = NOON + timedelta(minutes=queued)
    options = {"name": f"job-{number}", "runs_on": ["self-hosted", "fast"], **fields}
    run.github.emulator.state.jobs[number] = Job(
        number, of, "Coldaine/ColdVox", script="true", created_at=created, **options
    )


def ended(result: str, *, start: int, end: int) -> dict[str, Any]:
    begun = NOON + timedelta(seconds=start)
    return {
        "status": "completed",
        "conclusion": result,
        "started_at": begun,
        "completed_at": NOON + timedelta(seconds=end),
        "runner_name": "laptop",
        "runner_group_id": 1,
    }


def test_github_jobs_info_returns_jobs_with_their_times(run: Controller) -> None:
    job(run, 11, of=10, **ended("success", start=4, end=190))
    job(run, 12, of=10, **ended("failure", start=5, end=9))
    job(run, 21, of=20, queued=3, status="completed", conclusion="skipped", completed_at=NOON)
    job(run, 31, of=30, queued=5, runs_on=["ubuntu-latest"])
    answer = run("github_jobs_info")
    assert [(entry["id"], entry["status"], entry["result"]) for entry in answer["runs"]] == [
        (30, "queued", ""),
        (20, "completed", "skipped"),
        (10, "completed", "failure"),
    ]
    by_id = {entry["id"]: entry for entry in answer["jobs"]}
    assert list(by_id) == [31, 21, 12, 11]
    done = by_id[11]
    assert (done["repository"], done["runner_name"], done["hosted"]) == ("Coldaine/ColdVox", "laptop", False)
    assert (done["started_at"], done["queued_seconds"], done["duration_seconds"]) == (
        "2026-11-21T12:00:04Z",
        4.0,
        186.0,
    )
    for number in (21, 31):
        assert (by_id[number]["started_at"], by_id[number]["queued_seconds"]) == ("", None)
    assert by_id[31]["hosted"] is True
    assert run.requests() == ["GET runs", "GET jobs", "GET jobs", "GET jobs"]


def test_github_jobs_info_limits_runs_by_time_and_number(run: Controller) -> None:
    for number in range(5):
        job(run, 100 + number, of=200 + number, queued=number)
    assert [entry["id"] for entry in run("github_jobs_info", limit=2)["runs"]] == [204, 203]
    assert run.requests() == ["GET runs", "GET jobs", "GET jobs"]
    recent = run("github_jobs_info", since="2026-11-21T12:03:00Z")
    assert [entry["id"] for entry in recent["runs"]] == [204, 203]
    assert run("github_jobs_info", since="2026-11-22")["jobs"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"since": "yesterday"}, "since 'yesterday' is no time"),
        ({"since": "2026-02-31"}, "is no time"),
        ({"limit": 0}, "lists 1 to 1000 runs"),
        ({"page": "Coldaine"}, "organization Coldaine; give the url of a repository"),
    ],
)
def test_github_jobs_info_refuses_bad_options(run: Controller, options: dict[str, Any], message: str) -> None:
    refused = run("github_jobs_info", **options)
    assert refused["failed"]
    assert message in refused["msg"]
    assert run.requests() == []


def test_github_jobs_info_skips_a_run_that_is_deleted_meanwhile(run: Controller) -> None:
    job(run, 11, of=10)
    run.github.admin.set_faults({"path_regex": "/runs/10/jobs", "status": 404})
    answer = run("github_jobs_info")
    assert (len(answer["runs"]), answer["jobs"]) == (1, [])
