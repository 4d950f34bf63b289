"""Weeks of samples folded into some dozen points, line by line, so that their number costs no memory."""

from __future__ import annotations

import calendar
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple, Optional

from ..health import FULL_SCORE, health_score
from ..metrics.csv_log import COLUMNS

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
    """What the samples of a stretch of time say, from ``at`` on; all None where there are none.

    The score is that of the health policy, by load, memory, disk and jobs; the lowest is what hurt.
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
    scores: int = 0
    score: int = 0
    lowest: int = FULL_SCORE


class Curve:
    """Takes rows of the samples' CSV between two moments (seconds since the epoch)."""

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
        self._minute: tuple[str, int] = ("", 0)
        # A machine mostly does what it did before, and a judgement costs more than all the rest of a row.
        self._score = lru_cache(maxsize=65536)(partial(_score, policy))

    def add(self, rows: Iterable[Sequence[str]]) -> None:
        """Take ``rows`` in; one that is broken, or outside of the time, is left out."""
        for row in rows:
            with suppress(ValueError, IndexError):
                at = self._moment(row[0])
                if self._begins_at <= at <= self._ends_at:
                    self._take(at, row)

    def _moment(self, text: str) -> int:
        """Return ``YYYY-mm-dd HH:MM:SS`` in UTC as seconds; understood anew only once a minute."""
        minute, second = text[:16], text[17:19]
        if minute != self._minute[0]:
            parts = (text[:4], text[5:7], text[8:10], text[11:13], text[14:16])
            year, month, day, hour, number = (int(part) for part in parts)
            self._minute = (minute, calendar.timegm((year, month, day, hour, number, 0)))
        return self._minute[1] + int(second)

    def _take(self, at: int, row: Sequence[str]) -> None:
        load, used, available, disk = (float(row[place]) for place in _PLACES.values())
        jobs = int(float(row[_ACTIVE]))
        memory = 100 * used / (used + available) if used + available else 0.0
        here = self._sums.setdefault(int((at - self._begins_at) / self._step), _Sums())
        here.count += 1
        here.load += load
        here.peak = max(here.peak, load)
        here.memory += memory
        here.disk += disk
        if at // _MINUTE not in self._minutes:  # the health check looks once a minute too
            self._minutes.add(at // _MINUTE)
            score = self._score(round(load, 1), round(memory, 1), disk, jobs)
            here.scores += 1
            here.score += score
            here.lowest = min(here.lowest, score)

    def points(self) -> list[Point]:
        """Return a point for every stretch of the time, in order; none at all without samples."""
        if not self._sums:
            return []
        stretches = range(math.ceil((self._ends_at - self._begins_at) / self._step))
        return [_point(self._begins_at + index * self._step, self._sums.get(index)) for index in stretches]

    def uptime_percent(self) -> Optional[float]:
        """Return the share of the minutes of business hours, from the first sample on, that have a sample.

        None before there was any such minute. A machine that sleeps takes no samples.
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
    """Return how long a stretch of a time of ``seconds`` is: half an hour, two hours or a day."""
    if seconds <= 2 * _DAY_SECONDS:
        return 1800
    return 7200 if seconds <= 10 * _DAY_SECONDS else _DAY_SECONDS


def _point(at: float, sums: Optional[_Sums]) -> Point:
    if sums is None:
        return Point(at)
    return Point(
        at=at,
        load=round(sums.load / sums.count, 2),
        peak_load=sums.peak,
        # A stretch that shares its only minute with the one before has no score of its own.
        score=round(sums.score / sums.scores, 1) if sums.scores else None,
        lowest_score=sums.lowest if sums.scores else None,
        memory_percent=round(sums.memory / sums.count, 1),
        disk_percent=round(sums.disk / sums.count, 1),
    )


def _score(policy: Optional[Mapping[str, Any]], *values: float) -> int:
    """Return the health score for values of _SIGNALS on this machine."""
    signals = {**dict(zip(_SIGNALS, values)), "cpu_count": os.cpu_count()}
    return int(health_score(signals, policy)["score"])
