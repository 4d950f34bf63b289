"""Job of the history, and the checks of hook records and GitHub's jobs. Pure.

A job, or the author of a workflow, may have chosen any text that this module reads.
"""

from __future__ import annotations

import calendar
import json
import math
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from ...errors import CiError
from ...health.dispatch import CLOUD, SELF_HOSTED

STARTED, COMPLETED = "started", "completed"
#: The result of a job without a recorded end whose runner has begun another job since.
LOST = "lost"
SUCCESS = "success"
#: Results that depend on the machine. A person cancels jobs, a condition skips them, and the result of some
#: is unknown.
JUDGED = (SUCCESS, "failure", "timed_out", LOST)

_MOST_LETTERS = 200
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# SQLite's integers have 64 bits; times end with the year 9999.
_LARGEST = 2**63 - 1
_LATEST = 253402300799.0
_RESULTS = ("success", "failure", "cancelled", "skipped", "timed_out", "")


class RecordError(CiError):
    """Input that is no event of a job. The message names the wrong field."""


class Job(NamedTuple):
    """One job. Times are Unix seconds, None where unknown.

    ``kind`` is ``self_hosted`` or ``cloud``; ``instance`` is the runner's name. ``result`` is empty while the
    job runs and where it is unknown. ``duration_seconds`` is None until the end, and if the clock went back
    during the job.
    """

    kind: str
    instance: str
    repository: str
    workflow: str
    job: str
    run_id: int
    run_attempt: int
    job_class: str = ""
    queued_at: Optional[float] = None
    started_at: Optional[float] = None
    completed_at: Optional[float] = None
    result: str = ""
    duration_seconds: Optional[float] = None
    peak_memory_bytes: Optional[int] = None
    cpu_seconds: Optional[float] = None
    cache_hits: Optional[int] = None
    cache_misses: Optional[int] = None

    @property
    def running(self) -> bool:
        """Whether the job has begun, and no source reports its end."""
        return self.started_at is not None and self.completed_at is None and not self.result

    @property
    def began(self) -> float:
        """When the job began, else when it ended or was queued; 0 if all are unknown."""
        return next(
            (at for at in (self.started_at, self.completed_at, self.queued_at) if at is not None), 0.0
        )

    @property
    def ended(self) -> float:
        """When the job ended; ``began`` if that is unknown."""
        return self.began if self.completed_at is None else self.completed_at


class Record(NamedTuple):
    """Checked event: ``event`` is ``started`` or ``completed``, ``at`` its Unix time."""

    event: str
    instance: str
    job: str
    run_id: int
    at: float
    run_attempt: int = 1
    repository: str = ""
    workflow: str = ""
    job_class: str = ""
    result: str = ""
    queued_at: Optional[float] = None
    peak_memory_bytes: Optional[int] = None
    cpu_seconds: Optional[float] = None
    cache_hits: Optional[int] = None
    cache_misses: Optional[int] = None


def clean(value: Any) -> str:
    """Return ``value`` as one line of at most 200 letters, safe on a terminal.

    Control characters, line breaks, text direction marks and lone surrogates become U+FFFD.
    """
    text = "".join(
        letter if letter.isprintable() else _REPLACEMENT for letter in str(value)[: _MOST_LETTERS + 1]
    )
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 1] + "…"


def decode(text: bytes) -> dict[str, Any]:
    """Return the JSON object in ``text``; raises RecordError for other text."""
    try:
        fields = json.loads(text.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:  # Python before 3.12 counts brackets as calls
        raise RecordError("it is not JSON") from error
    if not isinstance(fields, dict):
        raise RecordError("it is no JSON object")
    return fields


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def checked(fields: Mapping[str, Any]) -> Record:
    """Return ``fields`` as a Record; raises RecordError for the first wrong field."""
    event = fields.get("event")
    if event not in (STARTED, COMPLETED):
        raise RecordError(f"'event' is neither {STARTED} nor {COMPLETED}")
    at, run_id = number(fields, "at", _LATEST), whole_number(fields, "run_id")
    if at is None or run_id is None:
        raise RecordError(f"'{'at' if at is None else 'run_id'}' is missing")
    attempt = whole_number(fields, "run_attempt")
    return Record(
        event=str(event),
        instance=needed_text(fields, "instance"),
        job=needed_text(fields, "job"),
        run_id=run_id,
        at=at,
        run_attempt=1 if attempt is None else attempt,
        repository=text_of(fields, "repository"),
        workflow=text_of(fields, "workflow"),
        job_class=text_of(fields, "class"),
        result=result_of(fields),
        queued_at=number(fields, "queued_at", _LATEST),
        peak_memory_bytes=whole_number(fields, "peak_memory_bytes"),
        cpu_seconds=number(fields, "cpu_seconds"),
        cache_hits=whole_number(fields, "cache_hits"),
        cache_misses=whole_number(fields, "cache_misses"),
    )


def needed_text(fields: Mapping[str, Any], name: str) -> str:
    """Return the text ``name``, which must not be empty."""
    text = text_of(fields, name)
    if not text:
        raise RecordError(f"'{name}' is missing")
    return text


def text_of(fields: Mapping[str, Any], name: str) -> str:
    """Return the text ``name``, cleaned; empty where it is missing."""
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise RecordError(f"'{name}' is no text")
    return clean(value or "")


def result_of(fields: Mapping[str, Any]) -> str:
    """Return GitHub's result of a job, empty (unknown) for another value."""
    result = text_of(fields, "result")
    return result if result in _RESULTS else ""


def whole_number(fields: Mapping[str, Any], name: str) -> Optional[int]:
    """Return the integer ``name`` of 0 or more, None where it is missing."""
    value = fields.get(name)
    if value is not None and (
        not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST
    ):
        raise RecordError(f"'{name}' is no whole number of 0 or more")
    return value


def number(fields: Mapping[str, Any], name: str, most: float = 1e15) -> Optional[float]:
    """Return the number ``name`` from 0 to ``most``, None where it is missing."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= most:
        raise RecordError(f"'{name}' is no number from 0 to {most:.0f}")
    return float(value) if math.isfinite(value) else None


def hosted_job(row: Any) -> Optional[Job]:
    """Return an entry of ``github_jobs_info`` as a Job; None if it has not ended.

    Raises RecordError if it is no such entry.
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
    """Return the Unix time of a UTC time stamp with ``Z``, None for an empty one.

    Raises RecordError for another text.
    """
    if value is None or value == "":
        return None
    try:
        return float(calendar.timegm(time.strptime(str(value), "%Y-%m-%dT%H:%M:%SZ")))
    except (ValueError, OverflowError) as error:
        raise RecordError(f"{str(value)[:40]!r} is no time like 2026-01-31T12:00:00Z") from error
