"""Workflow runs and their jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ..clock import timestamp
from ..exchange import Answer, not_found
from ..state import Job
from .call import Call, Operation

_RUNS = "/repos/{owner}/{repo}/actions/runs"
_JOBS = "/repos/{owner}/{repo}/actions/jobs"


def _render_run(call: Call, jobs: list[Job]) -> dict[str, Any]:
    job = jobs[0]
    status, conclusion = _outcome(jobs)
    ended = max(each.completed_at or each.started_at or each.created_at for each in jobs)
    api = f"{call.api_url}{call.scope.path}/actions/runs/{job.run_id}"
    return {
        **call.description.example("GET", f"{_RUNS}/{{run_id}}"),
        "id": job.run_id,
        "name": job.name,
        "display_title": job.name,
        "status": status,
        "conclusion": conclusion,
        "run_attempt": 1,
        "url": api,
        "jobs_url": f"{api}/jobs",
        "html_url": f"{call.request.base_url}/{call.scope.name}/actions/runs/{job.run_id}",
        "created_at": timestamp(job.created_at),
        "run_started_at": timestamp(job.created_at),
        "updated_at": timestamp(ended),
    }


def _outcome(jobs: list[Job]) -> tuple[str, Optional[str]]:
    """Return status and conclusion of a run.

    A run ends with its last job, and fails when one of its jobs does not succeed.
    """
    if any(job.status != "completed" for job in jobs):
        waiting = all(job.status == "queued" for job in jobs)
        return ("queued" if waiting else "in_progress"), None
    return "completed", next((job.conclusion for job in jobs if job.conclusion != "success"), "success")


def _render_job(call: Call, job: Job) -> dict[str, Any]:
    base, scope = call.request.base_url, call.scope
    return {
        **call.description.example("GET", f"{_JOBS}/{{job_id}}"),
        "id": job.id,
        "run_id": job.run_id,
        "run_attempt": 1,
        "run_url": f"{call.api_url}{scope.path}/actions/runs/{job.run_id}",
        "url": f"{call.api_url}{scope.path}/actions/jobs/{job.id}",
        "html_url": f"{base}/{scope.name}/actions/runs/{job.run_id}/job/{job.id}",
        "name": job.name,
        "workflow_name": job.name,
        "labels": job.runs_on,
        "status": job.status,
        "conclusion": job.conclusion,
        "created_at": timestamp(job.created_at),
        # GitHub gives a queued job a start as well: the time it was created.
        "started_at": timestamp(job.started_at or job.created_at),
        "completed_at": timestamp(job.completed_at) if job.completed_at else None,
        "steps": _render_steps(job),
        "runner_id": job.runner_id,
        "runner_name": job.runner_name,
        "runner_group_id": job.runner_group_id,
        "runner_group_name": "Default" if job.runner_group_id else None,
    }


def _render_steps(job: Job) -> list[dict[str, Any]]:
    return [
        {
            "name": step.name,
            "number": number,
            "status": "completed",
            "conclusion": step.conclusion,
            "started_at": step.started_at,
            "completed_at": step.completed_at,
        }
        for number, step in enumerate(job.steps, start=1)
    ]


def _jobs(call: Call) -> list[Job]:
    """Return the jobs of the repository, newest first."""
    name = call.scope.name
    return [job for job in reversed(call.state.jobs.values()) if job.repository.lower() == name.lower()]


def _runs(call: Call) -> list[list[Job]]:
    """Return the runs of the repository as lists of jobs, newest first."""
    runs: dict[int, list[Job]] = {}
    for job in _jobs(call):
        runs.setdefault(job.run_id, []).append(job)
    return list(runs.values())


def _run(call: Call) -> list[Job]:
    number = call.number("run_id")
    jobs = [job for job in _jobs(call) if job.run_id == number]
    if not jobs:
        raise not_found()
    return jobs


def _wanted(run: list[Job], query: Mapping[str, str]) -> bool:
    """Return whether ``run`` passes the filters of a query.

    GitHub has one parameter for status and conclusion. ``created`` is a time such as
    ``>=2026-01-01T00:00:00Z``.
    """
    status, created = query.get("status"), query.get("created", "")
    since = created.removeprefix(">=") if created.startswith(">=") else ""
    return (status is None or status in _outcome(run)) and timestamp(run[0].created_at) >= since


def _list_runs(call: Call) -> Answer:
    page = call.page(run for run in _runs(call) if _wanted(run, call.request.query))
    runs = [_render_run(call, run) for run in page.items]
    return Answer(200, {"total_count": page.total, "workflow_runs": runs}, page.headers)


def _get_run(call: Call) -> Answer:
    return Answer(200, _render_run(call, _run(call)))


def _list_run_jobs(call: Call) -> Answer:
    page = call.page(_run(call))
    jobs = [_render_job(call, job) for job in page.items]
    return Answer(200, {"total_count": page.total, "jobs": jobs}, page.headers)


def _get_job(call: Call) -> Answer:
    number = call.number("job_id")
    job = next((each for each in _jobs(call) if each.id == number), None)
    if job is None:
        raise not_found()
    return Answer(200, _render_job(call, job))


OPERATIONS = [
    Operation("GET", _RUNS, _list_runs, "actions"),
    Operation("GET", f"{_RUNS}/{{run_id}}", _get_run, "actions"),
    Operation("GET", f"{_RUNS}/{{run_id}}/jobs", _list_run_jobs, "actions"),
    Operation("GET", f"{_JOBS}/{{job_id}}", _get_job, "actions"),
]
