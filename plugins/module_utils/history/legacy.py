"""The JSON history of the scripts that came before: sums per job name and kind of runner. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from .hosted import moment
from .records import KINDS, RecordError, clean, number, whole_number


class Aggregate(NamedTuple):
    """What is known of one job name on one kind of runner; ``total_duration`` is the seconds of
    ``timed_runs``.
    """

    job: str
    kind: str
    total_runs: int
    successful_runs: int
    total_duration: float
    timed_runs: int
    last_updated: Optional[float] = None

    @property
    def success_rate(self) -> float:
        """Percent of the runs that succeeded; 0 without runs."""
        return 100 * self.successful_runs / self.total_runs if self.total_runs else 0.0

    @property
    def avg_duration(self) -> float:
        """Mean seconds of a run whose duration is known; 0 without any."""
        return self.total_duration / self.timed_runs if self.timed_runs else 0.0


def aggregates(whole: Mapping[str, Any]) -> list[Aggregate]:
    """Return the sums in an old history, ``{job: {kind: sums}}``; raises RecordError that names the entry.

    Rates and means in it follow from the sums and are not read.
    """
    found = []
    for job, kinds in whole.items():
        if not isinstance(kinds, Mapping) or not set(kinds) <= set(KINDS):
            raise RecordError(f"'{clean(job)}' has other entries than {' and '.join(KINDS)}")
        found += [_aggregate(clean(job), kind, sums) for kind, sums in kinds.items()]
    return found


def _aggregate(job: str, kind: str, sums: Any) -> Aggregate:
    try:
        if not isinstance(sums, Mapping):
            raise RecordError("it is no object")
        total, successful = whole_number(sums, "total_runs"), whole_number(sums, "successful_runs")
        duration = number(sums, "total_duration")
        if total is None or successful is None or duration is None or successful > total:
            raise RecordError("it needs total_runs, successful_runs of them, and total_duration")
        return Aggregate(job, kind, total, successful, duration, total, _updated(sums.get("last_updated")))
    except RecordError as error:
        raise RecordError(f"'{job}' on {kind}: {error}") from error


def _updated(value: Any) -> Optional[float]:
    """Return when the sums last changed; the scripts wrote Unix seconds, or a time stamp of ``date``."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number({"last_updated": value}, "last_updated")
    text = str(value or "")
    return moment(text.replace("+00:00", "Z"))
