"""A job as its own environment tells it, and whether this host wants to run it: pure functions.

What the role agent wants of the job hooks.

What a runner's unit has used so far, as its control group accounts it (the kernel's cgroup-v2.rst).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from ...errors import CiError
from ...runner.layout import UNIT_TEMPLATE, check_name

# Events whose jobs may run what somebody outside the repository wrote; all of them carry the pull request.
_PULL_REQUEST_EVENTS = "pull_request"
_MOST_LETTERS = 200


class Job(NamedTuple):
    """One job. ``run_id`` and ``run_attempt`` are GitHub's numbers; the directories are absolute paths."""

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
        """The instance's work directory: the one that holds the temporary directory of every job."""
        return self.temp.rpartition("/")[0]


def job_of(environment: Mapping[str, str]) -> Job:
    """Return the job whose steps see ``environment``; raises CiError when this is none.

    The names are GitHub's (docs.github.com, "Variables reference"); a job cannot set those that begin with
    GITHUB_ or RUNNER_ for its later steps.
    """
    run_id = environment.get("GITHUB_RUN_ID", "")
    if not run_id.isdigit() or not environment.get("RUNNER_NAME"):
        raise CiError(
            "this is no job of a runner, because RUNNER_NAME or GITHUB_RUN_ID is not set; only the runner's "
            "job hooks call this."
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
    """Return the file name of the record of ``event`` (started, completed) of a job; ``number`` is its own on
    this host.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", job.name)[:64] or "job"
    return f"{job.run_id}-{job.run_attempt}-{name}-{number}.{event}.json"


def record(job: Job, event: str, at: float, **more: Any) -> dict[str, Any]:
    """Return the record of ``event`` at ``at`` (seconds since the epoch), with ``more`` of its fields."""
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
    """Return why a job must not run here because it comes from a fork, or an empty text.

    ``payload`` is what the event brought, None when it cannot be read: then nobody can tell where a pull
    request is from, and it does not run. A pull request between branches of one repository runs, also where
    that repository is itself a fork of another.
    """
    pull_request = (payload or {}).get("pull_request")
    if not job.event.startswith(_PULL_REQUEST_EVENTS) and not isinstance(pull_request, Mapping):
        return ""
    head = _repository(pull_request, "head")
    if head and head == (_repository(pull_request, "base") or job.repository).lower():
        return ""
    source = f"the fork {head}" if head else "a fork, or from nobody knows where"
    return (
        f"This runner takes no jobs from forks: the pull request of '{job.name}' comes from {source}; run it "
        "on a GitHub-hosted runner, or push the branch to the repository itself after a review."
    )


def _repository(pull_request: Any, side: str) -> str:
    """Return the full name in lower case of the repository on one side of a pull request, or an empty
    text.
    """
    for key in (side, "repo", "full_name"):
        pull_request = pull_request.get(key) if isinstance(pull_request, Mapping) else None
    return pull_request.lower() if isinstance(pull_request, str) else ""


def annotation(text: str, level: str = "warning") -> str:
    """Return the line that lets GitHub show ``text`` beside the job (its "workflow commands")."""
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{level} title=coldvox.ci::{escaped}"


FILE = "hooks.json"


class Policy(NamedTuple):
    """``models`` are the names of artifacts that each job gets, None for all models of the store."""

    refuse_forks: bool = True
    clean_workspace: bool = True
    models: Optional[tuple[str, ...]] = None


def read_policy(directory: str) -> Policy:
    """Return what ``hooks.json`` in ``directory`` says, the defaults when there is none; raises CiError for
    a broken one.
    """
    path = os.path.join(directory, FILE)
    try:
        with open(path, encoding="utf-8") as stream:
            return _policy(json.load(stream))
    except FileNotFoundError:
        return Policy()
    except (OSError, ValueError, TypeError) as error:
        raise CiError(
            f"{path} cannot be used ({error}), so the defaults hold; converge the host with the role agent."
        ) from error


def _policy(data: Any) -> Policy:
    if not isinstance(data, dict):
        raise TypeError("it is no JSON object")
    models = data.get("models")
    if models is not None and not (isinstance(models, list) and all(isinstance(one, str) for one in models)):
        raise TypeError("'models' is no list of names")
    switches = {name: data.get(name, True) for name in ("refuse_forks", "clean_workspace")}
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise TypeError(f"'{name}' is neither true nor false")
    return Policy(**switches, models=None if models is None else tuple(models))


_TREE = "/sys/fs/cgroup"


class Usage(NamedTuple):
    """``peak_memory_bytes`` is the most since the unit started; None where the kernel or the sandbox keeps a
    figure back.
    """

    cpu_seconds: Optional[float] = None
    peak_memory_bytes: Optional[int] = None


def read_usage(proc: str = "/proc/self", tree: str = _TREE) -> Usage:
    """Return what the unit of this process has used."""
    path = unit_path(_read(os.path.join(proc, "cgroup")))
    if not path:
        return Usage()
    place = os.path.join(tree, path.lstrip("/"))
    counters = dict(line.partition(" ")[::2] for line in _read(os.path.join(place, "cpu.stat")).splitlines())
    microseconds = _number(counters.get("usage_usec", ""))
    peak = _number(_read(os.path.join(place, "memory.peak")))
    return Usage(None if microseconds is None else microseconds / 1e6, peak)


def unit_path(text: str) -> str:
    """Return the control group of the runner's unit in ``text`` (/proc/PID/cgroup), empty when there is none.

    A job may lie in a group below its unit's.
    """
    for line in text.splitlines():
        if line.startswith("0::"):
            parts = line[3:].split("/")
            for count, part in enumerate(parts, 1):
                if part.startswith(UNIT_TEMPLATE):
                    return "/".join(parts[:count])
    return ""


def used_between(before: Usage, after: Usage) -> Usage:
    """Return what a job used, from the readings at its start and at its end.

    The kernel keeps one peak for the whole life of the unit. When it did not rise during this job, all that
    is known is that the job stayed below it, and the answer is None.
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
