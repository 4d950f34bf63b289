"""JSON history of ColdVox's older scripts: sums per job name and kind. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ...health.dispatch import KINDS, JobSums
from .jobs import RecordError, clean, moment, number, whole_number


def sums_of(document: Mapping[str, Any]) -> list[JobSums]:
    """Return the sums in ``{job: {kind: sums}}``.

    Raises RecordError that names the wrong entry.
    The rates and means in the document follow from the sums and are not read.
    """
    every = []
    for job, kinds in document.items():
        if not isinstance(kinds, Mapping) or not set(kinds) <= set(KINDS):
            raise RecordError(f"'{clean(job)}' has other entries than {' and '.join(KINDS)}")
        every += [_sums(clean(job), kind, sums) for kind, sums in kinds.items()]
    return every


def _sums(job: str, kind: str, sums: Any) -> JobSums:
    try:
        if not isinstance(sums, Mapping):
            raise RecordError("it is no object")
        total, successful = whole_number(sums, "total_runs"), whole_number(sums, "successful_runs")
        duration = number(sums, "total_duration")
        if total is None or successful is None or duration is None or successful > total:
            raise RecordError("it needs total_runs, successful_runs of them, and total_duration")
        return JobSums(job, kind, total, successful, duration, total, _updated(sums.get("last_updated")))
    except RecordError as error:
        raise RecordError(f"'{job}' on {kind}: {error}") from error


def _updated(value: Any) -> Optional[float]:
    """Return when the sums changed, from Unix seconds or the output of ``date``."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number({"last_updated": value}, "last_updated")
    text = str(value or "")
    return moment(text.replace("+00:00", "Z"))
