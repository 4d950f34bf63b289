"""Workflow runs and their jobs, for a queue in which every job is a run of its own."""

from __future__ import annotations

from typing import Any, Optional

from ..clock import timestamp
from ..exchange import Answer, not_found
from ..state import Job
from .call import Call, Operation

_RUNS = "/repos/{owner}/{repo}/actions/runs"
_JOBS = "/repos/{owner}/{repo}/actions/jobs"


def _render_run(call: Call, job: Job) -> dict[str, Any]:
    api = f"{call.api_url}{call.scope.path}/actions/runs/{job.run_id}"
    return {
        **call.description.example("GET", f"{_RUNS}/{{run_id}}"),
        "id": job.run_id,
        "name": job.name,
        "display_title": job.name,
        "status": job.status,
        "conclusion": job.conclusion,
        "url": api,
        "jobs_url": f"{api}/jobs",
        "html_url": f"{call.request.base_url}/{call.scope.name}/actions/runs/{job.run_id}",
        "created_at": timestamp(job.created_at),
        "run_started_at": timestamp(job.created_at),
        "updated_at": timestamp(job.completed_at or job.started_at or job.created_at),
    }


def _render_job(call: Call, job: Job) -> dict[str, Any]:
    base, scope = call.request.base_url, call.scope
    return {
        **call.description.example("GET", f"{_JOBS}/{{job_id}}"),
        "id": job.id,
        "run_id": job.run_id,
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
    return [job for job in reversed(call.world.jobs.values()) if job.repository.lower() == name.lower()]


def _found(jobs: list[Job]) -> Job:
    if not jobs:
        raise not_found()
    return jobs[0]


def _has_status(job: Job, wanted: Optional[str]) -> bool:
    """Whether ``wanted`` is the status or the conclusion: GitHub's filter takes either."""
    return wanted is None or wanted in (job.status, job.conclusion)


def _list_runs(call: Call) -> Answer:
    wanted = call.request.query.get("status")
    page = call.page(job for job in _jobs(call) if _has_status(job, wanted))
    runs = [_render_run(call, job) for job in page.items]
    return Answer(200, {"total_count": page.total, "workflow_runs": runs}, page.headers)


def _get_run(call: Call) -> Answer:
    number = call.number("run_id")
    return Answer(200, _render_run(call, _found([job for job in _jobs(call) if job.run_id == number])))


def _list_run_jobs(call: Call) -> Answer:
    number = call.number("run_id")
    job = _found([each for each in _jobs(call) if each.run_id == number])
    return Answer(200, {"total_count": 1, "jobs": [_render_job(call, job)]})


def _get_job(call: Call) -> Answer:
    number = call.number("job_id")
    return Answer(200, _render_job(call, _found([job for job in _jobs(call) if job.id == number])))


OPERATIONS = [
    Operation("GET", _RUNS, _list_runs, "actions"),
    Operation("GET", f"{_RUNS}/{{run_id}}", _get_run, "actions"),
    Operation("GET", f"{_RUNS}/{{run_id}}/jobs", _list_run_jobs, "actions"),
    Operation("GET", f"{_JOBS}/{{job_id}}", _get_job, "actions"),
]
