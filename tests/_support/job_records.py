"""Records and jobs for the tests of the history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.jobs import Job, checked

#: 2026-01-15T08:00:00Z.
NOON = 1_768_464_000.0


def record(event: str = "started", **fields: Any) -> dict[str, Any]:
    """Return one record as a hook writes it."""
    return {"event": event, "instance": "laptop", "job": "build", "run_id": 7, "at": NOON, **fields}


def ended(seconds: float = 60.0, **fields: Any) -> dict[str, Any]:
    """Return the end of the job that ``record`` begins, ``seconds`` later."""
    return record("completed", **{"at": NOON + seconds, "result": "success", **fields})


def started(history: History, fields: dict[str, Any]) -> bool:
    """Add the start of a job to ``history``; return whether it is new."""
    return bool(history.add([checked({**fields, "event": "started"})]))


def completed(history: History, fields: dict[str, Any]) -> bool:
    """Add the end of a job to ``history``; return whether it is new."""
    return bool(history.add([checked({**fields, "event": "completed"})]))


def put(spool: Path, fields: dict[str, Any], number: int = 1) -> Path:
    """Write ``fields`` as a file into the spool of its instance, as a hook does."""
    directory = spool / str(fields["instance"])
    directory.mkdir(parents=True, exist_ok=True)
    path: Path = directory / f"{fields['run_id']}-1-x-{number}.{fields['event']}.json"
    fresh = path.with_name(f".{path.name}")
    fresh.write_text(json.dumps(fields), encoding="utf-8")
    fresh.rename(path)
    return path


def job(began: float = NOON, seconds: float | None = 60.0, **changes: Any) -> Job:
    """Return one finished job that succeeded."""
    fields = {
        "kind": "self_hosted",
        "instance": "laptop",
        "repository": "o/r",
        "workflow": "CI",
        "job": "build",
        "run_id": 7,
        "run_attempt": 1,
        "started_at": began,
        "completed_at": began + (seconds or 0),
        "result": "success",
        "duration_seconds": seconds,
        **changes,
    }
    return Job(**fields)


def hosted(**fields: Any) -> dict[str, Any]:
    """Return one entry of ``github_jobs_info``."""
    return {
        "name": "build",
        "workflow": "CI",
        "run_id": 9,
        "run_attempt": 1,
        "runner_name": "GitHub Actions 3",
        "hosted": True,
        "queued_seconds": 5,
        "duration_seconds": 300,
        "result": "success",
        "started_at": "2026-01-15T08:00:00Z",
        **fields,
    }
