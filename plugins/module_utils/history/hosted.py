"""Jobs as GitHub's API tells them (``github_jobs_info``), as Jobs of the history. Pure."""

from __future__ import annotations

import calendar
import time
from collections.abc import Mapping
from typing import Any, Optional

from .records import (
    CLOUD,
    SELF_HOSTED,
    Job,
    RecordError,
    needed_text,
    number,
    result_of,
    text_of,
    whole_number,
)


def hosted_job(row: Any) -> Optional[Job]:
    """Return one entry of ``github_jobs_info`` as a Job, None for one that has not ended or never began.

    Raises RecordError for what is no such entry.
    """
    if not isinstance(row, Mapping):
        raise RecordError("a job is no object")
    hosted, run_id = row.get("hosted"), whole_number(row, "run_id")
    if not isinstance(hosted, bool) or run_id is None:
        raise RecordError(f"'{'run_id' if isinstance(hosted, bool) else 'hosted'}' is missing")
    started, queued = moment(row.get("started_at")), number(row, "queued_seconds")
    duration = number(row, "duration_seconds")
    if started is None or not row.get("result"):
        return None
    return Job(
        kind=CLOUD if hosted else SELF_HOSTED,
        instance=text_of(row, "runner_name"),
        repository=text_of(row, "repository"),
        workflow=text_of(row, "workflow"),
        job=needed_text(row, "name"),
        run_id=run_id,
        run_attempt=whole_number(row, "run_attempt") or 1,
        queued_at=None if queued is None else started - queued,
        started_at=started,
        completed_at=None if duration is None else started + duration,
        result=result_of(row),
        duration_seconds=duration,
    )


def moment(value: Any) -> Optional[float]:
    """Return the Unix time of a UTC time stamp with ``Z``, None for none; raises RecordError for another."""
    if value is None or value == "":
        return None
    try:
        return float(calendar.timegm(time.strptime(str(value), "%Y-%m-%dT%H:%M:%SZ")))
    except (ValueError, OverflowError) as error:
        raise RecordError(f"{str(value)[:40]!r} is no time like 2026-01-31T12:00:00Z") from error
