"""The job queue: assignment to runners, and recovery when a runner disappears."""

from __future__ import annotations

from typing import Any, Optional

from .clock import Moment
from .state import GitHubState, Job, Runner, Step, secret

# A listener polls every 5 s, so one that is silent for 12 s is dead. GitHub waits longer; a test need not.
SESSION_TIMEOUT_SECONDS = 12.0
# GitHub: a job that is assigned and not picked up within 60 s goes back to the queue (docs.github.com).
PICK_UP_SECONDS = 60.0
# GitHub waits about ten minutes for a lost runner before it fails the job.
LEASE_SECONDS = 60.0


def queue(state: GitHubState, job: dict[str, Any], moment: Moment) -> Job:
    """Queue a job and return it.

    ``job`` has ``repository``, ``name``, ``runs_on`` and ``script``. Without ``run_id`` the job gets a run of
    its own.
    """
    number = state.next_id()
    queued = Job(
        id=number,
        run_id=int(job.get("run_id") or state.next_id()),
        repository=job["repository"],
        name=job["name"],
        runs_on=list(job["runs_on"]),
        script=job["script"],
        created_at=moment.now,
    )
    state.jobs[number] = queued
    return queued


def matches(runner: Runner, job: Job) -> bool:
    """Return whether ``runner`` may run ``job``.

    It must serve the job's repository and have all its labels, compared without letter case.
    """
    wanted = {label.lower() for label in job.runs_on}
    return runner.scope.covers(job.repository) and wanted <= runner.label_names()


def assign(state: GitHubState, runner: Runner, moment: Moment) -> Optional[Job]:
    """Assign the oldest matching queued job to ``runner`` and return it.

    Returns None when the runner is offline or busy, or no job matches.
    """
    if runner.session is None or runner.job_id is not None:
        return None
    waiting = (job for job in state.jobs.values() if job.status == "queued" and job.runner_id is None)
    job = next((each for each in waiting if matches(runner, each)), None)
    if job is None:
        return None
    job.runner_id, job.runner_name, job.runner_group_id = runner.id, runner.name, runner.group_id
    job.token, job.seen = secret("job_"), moment.tick
    runner.job_id = job.id
    return job


def start(job: Job, moment: Moment) -> None:
    """Record that the runner has started the job."""
    job.status, job.started_at, job.seen = "in_progress", moment.now, moment.tick


def complete(
    state: GitHubState, job: Job, moment: Moment, *, conclusion: str, log: str, steps: list[Step]
) -> None:
    """End a job and free its runner; delete an ephemeral runner."""
    job.status, job.conclusion, job.completed_at = "completed", conclusion, moment.now
    job.log, job.steps, job.token = log, steps, ""
    runner = state.runners.get(job.runner_id or 0)
    if runner is None or runner.job_id != job.id:
        return
    runner.job_id = None
    if runner.ephemeral:
        del state.runners[runner.id]


def sweep(state: GitHubState, moment: Moment) -> None:
    """Handle runners that have become silent.

    End the sessions of silent listeners, queue jobs again that no runner started, and fail jobs whose runner
    is lost.
    """
    for runner in state.runners.values():
        if runner.session and moment.tick - runner.session.seen > SESSION_TIMEOUT_SECONDS:
            runner.session = None
    for job in state.jobs.values():
        silence = moment.tick - job.seen
        if job.status == "queued" and job.runner_id is not None and silence > PICK_UP_SECONDS:
            _give_back(state, job)
        if job.status == "in_progress" and silence > LEASE_SECONDS:
            lost = "The self-hosted runner lost communication with the server."
            complete(state, job, moment, conclusion="failure", log=lost, steps=[])


def _give_back(state: GitHubState, job: Job) -> None:
    runner = state.runners.get(job.runner_id or 0)
    if runner is not None and runner.job_id == job.id:
        runner.job_id = None
    job.runner_id = job.runner_name = job.runner_group_id = None
    job.token = ""
