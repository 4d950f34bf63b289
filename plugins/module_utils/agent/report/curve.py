"""Weeks of samples reduced to a few dozen points, row by row, in constant memory."""

from __future__ import annotations

import calendar
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple, Optional

from ...health.score import FULL_SCORE, health_score
from ...metrics.csv_log import COLUMNS

_MINUTE = 60
_DAY_SECONDS = 86400
# Source: ColdVox's peak hours, 9 to 17; its key figure counts them from Monday to Friday.
_BUSINESS_HOURS = range(9, 17)
_SATURDAY = 5
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday
_PLACES = {name: COLUMNS.index(name) for name in ("load_avg", "memory_mb", "memory_available_mb", "disk_pct")}
_ACTIVE = COLUMNS.index("active_jobs")
_SIGNALS = ("load_1m", "memory_used_percent", "disk_used_percent", "active_jobs")


class Point(NamedTuple):
    """Means of the samples in a stretch of time from ``at`` on; None without samples.

    ``score`` is the mean of the health score, by load, memory, disk and jobs, and ``lowest_score`` its
    lowest.
    """

    at: float
    load: Optional[float] = None
    peak_load: Optional[float] = None
    score: Optional[float] = None
    lowest_score: Optional[int] = None
    memory_percent: Optional[float] = None
    disk_percent: Optional[float] = None


@dataclass
class _Sums:
    """The sums over the samples of one stretch."""

    count: int = 0
    load: float = 0.0
    peak: float = 0.0
    memory: float = 0.0
    disk: float = 0.0
    score: int = 0
    lowest: int = FULL_SCORE


class Curve:
    """Points of the samples between two times (seconds since the epoch)."""

    def __init__(
        self,
        begins_at: float,
        ends_at: float,
        *,
        utc_offset_seconds: int = 0,
        policy: Optional[Mapping[str, Any]] = None,
    ) -> None:
        self._begins_at, self._ends_at = begins_at, ends_at
        self._offset = utc_offset_seconds
        self._step = _step(ends_at - begins_at)
        self._sums: dict[int, _Sums] = {}
        self._minutes: set[int] = set()
        # Values repeat, and the score costs more time than the rest of a row.
        self._score = lru_cache(maxsize=65536)(partial(_score, policy))

    def add(self, rows: Iterable[Sequence[str]]) -> None:
        """Add one row per minute; skip a row that is damaged or outside the time.

        The load is a mean over a minute, and the health check runs once a minute too.
        """
        last = ""
        for row in rows:
            with suppress(ValueError, IndexError):
                if row[0][:16] != last:
                    self._take(_minute(row[0]), row)
                    last = row[0][:16]

    def _take(self, minute: int, row: Sequence[str]) -> None:
        if minute in self._minutes or not self._begins_at <= minute * _MINUTE <= self._ends_at:
            return
        load, used, available, disk = (float(row[place]) for place in _PLACES.values())
        jobs = int(float(row[_ACTIVE]))
        memory = 100 * used / (used + available) if used + available else 0.0
        score = self._score(round(load, 1), round(memory, 1), disk, jobs)
        self._minutes.add(minute)
        here = self._sums.setdefault(int((minute * _MINUTE - self._begins_at) / self._step), _Sums())
        here.count += 1
        here.load += load
        here.peak = max(here.peak, load)
        here.memory += memory
        here.disk += disk
        here.score += score
        here.lowest = min(here.lowest, score)

    def points(self) -> list[Point]:
        """Return a point per stretch of the time, in order; an empty list without samples."""
        if not self._sums:
            return []
        stretches = range(math.ceil((self._ends_at - self._begins_at) / self._step))
        return [_point(self._begins_at + index * self._step, self._sums.get(index)) for index in stretches]

    def uptime_percent(self) -> Optional[float]:
        """Return the percentage of the minutes in business hours that have a sample.

        Counted from the first sample on; None before the first such minute. A machine that sleeps takes no
        samples.
        """
        if not self._minutes:
            return None
        first, last = min(self._minutes), int(self._ends_at) // _MINUTE
        due = [minute for minute in range(first, last) if self._in_business(minute)]
        if not due:
            return None
        return round(100 * sum(minute in self._minutes for minute in due) / len(due), 2)

    def _in_business(self, minute: int) -> bool:
        local = minute * _MINUTE + self._offset
        weekday = (local // _DAY_SECONDS + _EPOCH_WEEKDAY) % 7
        return weekday < _SATURDAY and local % _DAY_SECONDS // 3600 in _BUSINESS_HOURS


def _step(seconds: float) -> int:
    """Return the seconds of a stretch: half an hour, two hours or a day."""
    if seconds <= 2 * _DAY_SECONDS:
        return 1800
    return 7200 if seconds <= 10 * _DAY_SECONDS else _DAY_SECONDS


def _minute(text: str) -> int:
    """Return ``YYYY-mm-dd HH:MM:SS`` in UTC as minutes since the epoch."""
    parts = (text[:4], text[5:7], text[8:10], text[11:13], text[14:16])
    year, month, day, hour, minute = (int(part) for part in parts)
    return calendar.timegm((year, month, day, hour, minute, 0)) // _MINUTE


def _point(at: float, sums: Optional[_Sums]) -> Point:
    if sums is None:
        return Point(at)
    return Point(
        at=at,
        load=round(sums.load / sums.count, 2),
        peak_load=sums.peak,
        score=round(sums.score / sums.count, 1),
        lowest_score=sums.lowest,
        memory_percent=round(sums.memory / sums.count, 1),
        disk_percent=round(sums.disk / sums.count, 1),
    )


def _score(policy: Optional[Mapping[str, Any]], *values: float) -> int:
    """Return the health score for values of _SIGNALS on this machine."""
    signals = {**dict(zip(_SIGNALS, values)), "cpu_count": os.cpu_count()}
    return int(health_score(signals, policy)["score"])
