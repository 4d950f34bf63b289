"""JSON history of ColdVox's older scripts: sums per job name and kind. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Optional

from ...health.dispatch import KINDS, JobSums
from .jobs import RecordError, clean, moment, number, whole_number

# The scripts keep a file for each job, and its name is the only place for that of the job.
_FILE = re.compile(r"job-history-(.+)\.json")


def sums_of(document: Mapping[str, Any], job: str = "", source: str = "") -> list[JobSums]:
    """Return the sums in ``{job: {kind: sums}}``, or in ``{kind: sums}`` of one job.

    The name of that one is ``job``, or part of the name of the file ``source``. Raises RecordError that names
    the wrong entry. The rates and means in the document follow from the sums and are not read; kinds without
    a run are left out, because the scripts begin with invented rates.
    """
    if (
        document
        and set(document) <= set(KINDS)
        and all("total_runs" in _object(document[k]) for k in document)
    ):
        match = _FILE.fullmatch(os.path.basename(source))
        name = job or (match[1] if match else "")
        if not name:
            raise RecordError("it is of one job; name it: runnerctl history JOB --import FILE")
        document = {name: document}
    every = []
    for job, kinds in document.items():
        if not isinstance(kinds, Mapping) or not set(kinds) <= set(KINDS):
            raise RecordError(f"'{clean(job)}' has other entries than {' and '.join(KINDS)}")
        every += [_sums(clean(job), kind, sums) for kind, sums in kinds.items()]
    return [sums for sums in every if sums.total_runs]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


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
