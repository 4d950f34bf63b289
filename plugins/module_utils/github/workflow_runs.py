"""Workflow runs and jobs of a repository, with the seconds they queued and ran."""

from __future__ import annotations

import calendar
import itertools
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from ..errors import CiError
from .client import JOBS, PAGE_SIZE, Client

MOST_RUNS = 1000  # GitHub returns no more to a filtered request
_WHEN = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?")
# GitHub's own machines; docs.github.com/actions, larger runners: the name of their default group.
_HOSTED_GROUPS = ("GitHub Actions", "Default Larger Runners")


def check_since(text: str) -> str:
    """Return ``text``, a UTC date or time as GitHub writes it.

    Raises CiError for any other text.
    """
    form = "%Y-%m-%dT%H:%M:%SZ" if "T" in text else "%Y-%m-%d"
    try:
        if not _WHEN.fullmatch(text):
            raise ValueError(text)
        time.strptime(text, form)
    except ValueError as error:
        raise CiError(
            f"The option since '{text}' is no time; write 2026-11-21 or 2026-11-21T12:00:00Z (UTC)."
        ) from error
    return text


def seconds_of(stamp: Optional[str]) -> Optional[float]:
    """Return the Unix time of GitHub's ``stamp`` (ISO 8601, UTC with Z).

    None without a stamp, or for another format.
    """
    try:
        return float(calendar.timegm(time.strptime(stamp or "", "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        return None


def is_hosted(job: Mapping[str, Any]) -> bool:
    """Return whether GitHub's own machine runs, or would run, the job.

    Its runner group decides; without a group, its labels do.
    """
    if job.get("runner_group_name"):
        return job["runner_group_name"] in _HOSTED_GROUPS
    return "self-hosted" not in {str(label).lower() for label in job.get("labels") or ()}


def job_view(job: Mapping[str, Any], run: Mapping[str, Any], repository: str) -> dict[str, Any]:
    """Return the facts of a job that the module returns.

    GitHub gives a start time also to a job that no runner took, and to a skipped one. So the start counts
    only with a runner. ``duration_seconds`` is None before the job has ended, and ``result`` is empty.
    """
    began = job.get("started_at") if job.get("runner_name") and job["status"] != "queued" else None
    created, started, ended = (
        seconds_of(job.get("created_at")),
        seconds_of(began),
        seconds_of(job.get("completed_at")),
    )
    return {
        "id": int(job["id"]),
        "run_id": int(job["run_id"]),
        "run_attempt": int(job.get("run_attempt") or 1),
        "repository": repository,
        "workflow": str(job.get("workflow_name") or run.get("name") or ""),
        "name": str(job["name"]),
        "event": str(run.get("event") or ""),
        "branch": str(job.get("head_branch") or ""),
        "status": str(job["status"]),
        "result": str(job.get("conclusion") or ""),
        "labels": [str(label) for label in job.get("labels") or ()],
        "hosted": is_hosted(job),
        "runner_name": str(job.get("runner_name") or ""),
        "runner_group": str(job.get("runner_group_name") or ""),
        "created_at": str(job.get("created_at") or ""),
        "started_at": began or "",
        "completed_at": str(job.get("completed_at") or ""),
        "queued_seconds": _between(created, started),
        "duration_seconds": _between(started, ended),
        "url": str(job.get("html_url") or ""),
    }


def run_view(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a run that the module returns."""
    return {
        "id": int(run["id"]),
        "run_attempt": int(run.get("run_attempt") or 1),
        "workflow": str(run.get("name") or ""),
        "event": str(run.get("event") or ""),
        "branch": str(run.get("head_branch") or ""),
        "status": str(run.get("status") or ""),
        "result": str(run.get("conclusion") or ""),
        "created_at": str(run.get("created_at") or ""),
        "url": str(run.get("html_url") or ""),
    }


def _between(first: Optional[float], then: Optional[float]) -> Optional[float]:
    """Return the seconds between two times, at least 0: GitHub's clocks differ."""
    return None if first is None or then is None else max(0.0, then - first)


class WorkflowRuns:
    """Calls for the runs of the client's repository.

    Raises CiError for another scope, which has no runs.
    """

    def __init__(self, client: Client) -> None:
        if client.scope.kind != "repository":
            raise CiError(
                f"GitHub lists runs and jobs by repository, and this is {client.scope.label}; give the url "
                "of a repository."
            )
        self._client = client
        self._root = f"{client.scope.path}/actions/runs"

    def latest(self, *, since: str = "", limit: int) -> list[dict[str, Any]]:
        """Return up to ``limit`` runs as the API gives them, newest first.

        ``since`` leaves out runs that were created earlier.
        """
        query = {"created": f">={since}"} if since else {}
        listed = self._client.items(
            self._root,
            "workflow_runs",
            "list the runs of",
            page_size=min(PAGE_SIZE, limit),
            query=query,
            area=JOBS,
        )
        # A run that starts between two pages shifts the others, so a run may be listed twice.
        return list(_distinct(itertools.islice(listed, limit)))

    def jobs(self, run: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the jobs of ``run`` in all its attempts; none when the run was deleted."""
        listed = self._client.items(
            f"{self._root}/{run['id']}/jobs",
            "jobs",
            f"list the jobs of run {run['id']} of",
            query={"filter": "all"},
            area=JOBS,
            accepted=(404,),
        )
        return [job_view(job, run, self._client.scope.name) for job in listed]


def _distinct(runs: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    return {int(run["id"]): run for run in runs}.values()
