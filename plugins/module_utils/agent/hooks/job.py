"""The job of a hook's environment, the host's policy, and the job's use.

The use of CPU and memory comes from the control group of the runner's unit (the kernel's cgroup-v2.rst).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from ...errors import CiError
from ...runner.layout import UNIT_TEMPLATE, check_name

# Jobs of these events may run code from outside the repository. The payload of each has the pull request.
_PULL_REQUEST_EVENTS = "pull_request"
_CGROUP_ROOT = "/sys/fs/cgroup"
FILE = "hooks.json"
_MOST_LETTERS = 200


class Job(NamedTuple):
    """A job with GitHub's numbers of its run, and absolute paths."""

    instance: str
    repository: str
    workflow: str
    name: str
    run_id: int
    run_attempt: int
    event: str
    event_path: str
    workspace: str
    temp: str

    @property
    def work_dir(self) -> str:
        """The instance's work directory, the parent of each job's RUNNER_TEMP."""
        return self.temp.rpartition("/")[0]


def job_of(environment: Mapping[str, str]) -> Job:
    """Return the job with ``environment``; raises CiError outside of a job.

    GitHub defines the names (docs.github.com, "Variables reference"). A job cannot set variables that begin
    with GITHUB_ or RUNNER_ for its later steps.
    """
    run_id = environment.get("GITHUB_RUN_ID", "")
    if not run_id.isdigit() or not environment.get("RUNNER_NAME"):
        raise CiError(
            "This process is not a job of a runner, because RUNNER_NAME or GITHUB_RUN_ID is not set; call it "
            "only from the runner's job hooks."
        )
    attempt = environment.get("GITHUB_RUN_ATTEMPT", "")
    return Job(
        instance=check_name(environment["RUNNER_NAME"]),
        repository=_text(environment.get("GITHUB_REPOSITORY", "")),
        workflow=_text(environment.get("GITHUB_WORKFLOW", "")),
        name=_text(environment.get("GITHUB_JOB", "")),
        run_id=int(run_id),
        run_attempt=int(attempt) if attempt.isdigit() else 1,
        event=environment.get("GITHUB_EVENT_NAME", ""),
        event_path=environment.get("GITHUB_EVENT_PATH", ""),
        workspace=environment.get("GITHUB_WORKSPACE", ""),
        temp=environment.get("RUNNER_TEMP", ""),
    )


def _text(value: str) -> str:
    return "".join(letter for letter in value if letter.isprintable())[:_MOST_LETTERS]


def record_name(job: Job, number: int, event: str) -> str:
    """Return the file name of the record of ``event`` (started, completed) of a job.

    No other job of this host has the same ``number``.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", job.name)[:64] or "job"
    return f"{job.run_id}-{job.run_attempt}-{name}-{number}.{event}.json"


def record(job: Job, event: str, at: float, **more: Any) -> dict[str, Any]:
    """Return the record of ``event`` at ``at`` (Unix seconds) with fields ``more``."""
    return {
        "event": event,
        "instance": job.instance,
        "repository": job.repository,
        "workflow": job.workflow,
        "job": job.name,
        "run_id": job.run_id,
        "run_attempt": job.run_attempt,
        "at": at,
        **more,
    }


def fork_refusal(job: Job, payload: Optional[Mapping[str, Any]]) -> str:
    """Return why a job from a fork must not run here, empty for other jobs.

    ``payload`` is the payload of the event, None when it cannot be read. Then the source of a pull request is
    unknown, and its job is refused. A pull request between branches of one repository runs, also if that
    repository is a fork.
    """
    pull_request = (payload or {}).get("pull_request")
    if not job.event.startswith(_PULL_REQUEST_EVENTS) and not isinstance(pull_request, Mapping):
        return ""
    head = _repository(pull_request, "head")
    if head and head == (_repository(pull_request, "base") or job.repository).lower():
        return ""
    source = f"the fork {head}" if head else "a fork or an unknown repository"
    return (
        f"This runner takes no jobs from forks: the pull request of '{job.name}' comes from {source}; run it "
        "on a GitHub-hosted runner, or push the branch to the repository itself after a review."
    )


def _repository(pull_request: Any, side: str) -> str:
    """Return the repository on one ``side`` of a pull request.

    The full name in lower case, empty if it is missing.
    """
    for key in (side, "repo", "full_name"):
        pull_request = pull_request.get(key) if isinstance(pull_request, Mapping) else None
    return pull_request.lower() if isinstance(pull_request, str) else ""


def annotation(text: str, level: str = "warning") -> str:
    """Return the "workflow command" with which GitHub shows ``text`` next to the job."""
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{level} title=coldvox.ci::{escaped}"


class Policy(NamedTuple):
    """The settings of the hooks by the role agent.

    ``models`` are the artifacts that each job gets, None for all models of the store.
    """

    refuse_forks: bool = True
    clean_workspace: bool = True
    models: Optional[tuple[str, ...]] = None


def read_policy(directory: str) -> Policy:
    """Return the policy in ``hooks.json`` of ``directory``, or the defaults.

    Raises CiError for a broken file.
    """
    path = os.path.join(directory, FILE)
    try:
        with open(path, encoding="utf-8") as stream:
            return _policy(json.load(stream))
    except FileNotFoundError:
        return Policy()
    except (OSError, ValueError, TypeError) as error:
        raise CiError(
            f"{path} cannot be used ({error}), so the defaults apply; converge the host with the role agent."
        ) from error


def _policy(data: Any) -> Policy:
    if not isinstance(data, dict):
        raise TypeError("it is not a JSON object")
    models = data.get("models")
    if models is not None and not (
        isinstance(models, list) and all(isinstance(name, str) for name in models)
    ):
        raise TypeError("'models' is not a list of names")
    switches = {name: data.get(name, True) for name in ("refuse_forks", "clean_workspace")}
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise TypeError(f"'{name}' is neither true nor false")
    return Policy(**switches, models=None if models is None else tuple(models))


class Usage(NamedTuple):
    """The use of the runner's unit since its start; None for an unavailable figure."""

    cpu_seconds: Optional[float] = None
    peak_memory_bytes: Optional[int] = None


def read_usage(proc: str = "/proc/self", tree: str = _CGROUP_ROOT) -> Usage:
    """Return the use of the unit of this process."""
    path = unit_path(_read(os.path.join(proc, "cgroup")))
    if not path:
        return Usage()
    place = os.path.join(tree, path.lstrip("/"))
    counters = dict(line.partition(" ")[::2] for line in _read(os.path.join(place, "cpu.stat")).splitlines())
    microseconds = _number(counters.get("usage_usec", ""))
    peak = _number(_read(os.path.join(place, "memory.peak")))
    return Usage(None if microseconds is None else microseconds / 1e6, peak)


def unit_path(text: str) -> str:
    """Return the control group of the runner's unit in ``text`` (/proc/PID/cgroup).

    It may be above the group of the job. Empty without such a unit.
    """
    for line in text.splitlines():
        if line.startswith("0::"):
            parts = line[3:].split("/")
            for count, part in enumerate(parts, 1):
                if part.startswith(UNIT_TEMPLATE):
                    return "/".join(parts[:count])
    return ""


def used_between(before: Usage, after: Usage) -> Usage:
    """Return the use of a job from the readings at its start and at its end.

    The kernel keeps one memory peak for the whole life of the unit. If it did not rise during this job, the
    job stayed below it, its own peak is unknown, and the result is None.
    """
    cpu = None
    if before.cpu_seconds is not None and after.cpu_seconds is not None:
        cpu = round(max(0.0, after.cpu_seconds - before.cpu_seconds), 3)
    peak = after.peak_memory_bytes
    rose = peak is not None and peak > (before.peak_memory_bytes or 0)
    return Usage(cpu, peak if rose else None)


def _number(text: str) -> Optional[int]:
    return int(text) if text.strip().isdigit() else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
