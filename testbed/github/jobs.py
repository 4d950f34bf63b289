"""The queue: which runner gets which job, and what happens to a job whose runner disappears."""

from __future__ import annotations

from typing import Any, Optional

from .clock import Moment
from .state import Job, Runner, Step, World, secret

# A listener polls every 5 s, so 12 s of silence is a dead one. GitHub takes longer; a test need not.
SESSION_TIMEOUT_SECONDS = 12.0
# GitHub: a job that is assigned and not picked up within 60 s goes back to the queue (docs.github.com).
PICK_UP_SECONDS = 60.0
# GitHub waits about ten minutes for a lost runner before it fails the job.
LEASE_SECONDS = 60.0


def queue(world: World, job: dict[str, Any], moment: Moment) -> Job:
    """Queue one job described by ``repository``, ``name``, ``runs_on`` and ``script``, in a run of its own or
    in the one of ``run_id``.
    """
    number = world.next_id()
    queued = Job(
        id=number,
        run_id=int(job.get("run_id") or world.next_id()),
        repository=job["repository"],
        name=job["name"],
        runs_on=list(job["runs_on"]),
        script=job["script"],
        created_at=moment.now,
    )
    world.jobs[number] = queued
    return queued


def matches(runner: Runner, job: Job) -> bool:
    """Whether ``runner`` has every label the job runs on (without letter case) and serves its repository."""
    wanted = {label.lower() for label in job.runs_on}
    return runner.scope.covers(job.repository) and wanted <= runner.label_names()


def assign(world: World, runner: Runner, moment: Moment) -> Optional[Job]:
    """Give the oldest matching queued job to ``runner``, which must be connected; None when there is none."""
    if runner.session is None or runner.job_id is not None:
        return None
    waiting = (job for job in world.jobs.values() if job.status == "queued" and job.runner_id is None)
    job = next((each for each in waiting if matches(runner, each)), None)
    if job is None:
        return None
    job.runner_id, job.runner_name, job.runner_group_id = runner.id, runner.name, runner.group_id
    job.token, job.seen = secret("job_"), moment.tick
    runner.job_id = job.id
    return job


def start(job: Job, moment: Moment) -> None:
    """The runner has picked the job up."""
    job.status, job.started_at, job.seen = "in_progress", moment.now, moment.tick


def complete(world: World, job: Job, moment: Moment, *, conclusion: str, log: str, steps: list[Step]) -> None:
    """End a job, free its runner, and forget a runner that was made for one job."""
    job.status, job.conclusion, job.completed_at = "completed", conclusion, moment.now
    job.log, job.steps, job.token = log, steps, ""
    runner = world.runners.get(job.runner_id or 0)
    if runner is None or runner.job_id != job.id:
        return
    runner.job_id = None
    if runner.ephemeral:
        del world.runners[runner.id]


def sweep(world: World, moment: Moment) -> None:
    """Notice silence: drop dead sessions, re-queue jobs nobody picked up, fail jobs whose runner was lost."""
    for runner in world.runners.values():
        if runner.session and moment.tick - runner.session.seen > SESSION_TIMEOUT_SECONDS:
            runner.session = None
    for job in world.jobs.values():
        silence = moment.tick - job.seen
        if job.status == "queued" and job.runner_id is not None and silence > PICK_UP_SECONDS:
            _give_back(world, job)
        if job.status == "in_progress" and silence > LEASE_SECONDS:
            lost = "The self-hosted runner lost communication with the server."
            complete(world, job, moment, conclusion="failure", log=lost, steps=[])


def _give_back(world: World, job: Job) -> None:
    runner = world.runners.get(job.runner_id or 0)
    if runner is not None and runner.job_id == job.id:
        runner.job_id = None
    job.runner_id = job.runner_name = job.runner_group_id = None
    job.token = ""
