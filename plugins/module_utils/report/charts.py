"""Which charts a report has, and the table behind each. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Optional

from ..history.statistics import DAY_SECONDS
from . import svg
from .figures import Day, Figures
from .svg import Axis, Series
from .words import count

# Source: the verdicts of the health policy.
_HEALTHY, _DEGRADED = 75, 50


class Chart(NamedTuple):
    """A chart with its legend and its table; without data ``drawing`` is empty and ``empty`` says why.
    ``mark`` says what its dashed lines mean.
    """

    title: str
    series: tuple[Series, ...]
    drawing: str
    empty: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    mark: str = ""


def charts(figures: Figures) -> tuple[Chart, ...]:
    """Return the charts of a report in the order of the page."""
    return tuple(draw(figures) for draw in (_success, _jobs, _durations, _hits, _score, _load))


def _by_day(
    figures: Figures,
    identity: str,
    title: str,
    series: Sequence[Series],
    draw: Callable[[str, str, str, Sequence[Series], Sequence[str]], str],
    unit: str = "",
) -> Chart:
    """Return a chart with a value for each day; without a single value it is empty."""
    days = figures.days
    known = any(value for one in series for value in one.values if value is not None)
    names = [day_name(day.date) for day in days]
    description = f"{', '.join(one.name for one in series)}, by day, {names[0]} to {names[-1]}."
    return Chart(
        title=title,
        series=tuple(series),
        drawing=draw(identity, title, description, series, names) if known else "",
        empty=figures.unknown.get("jobs", "no job ended in this time"),
        heads=("Day", *(one.name for one in series)),
        rows=tuple(
            (day.date, *(told(one.values[index], unit) for one in series)) for index, day in enumerate(days)
        ),
    )


def day_name(date: str) -> str:
    """Return ``YYYY-MM-DD`` as people say it: 21 Nov."""
    return time.strftime("%d %b", time.strptime(date, "%Y-%m-%d")).lstrip("0")


def told(value: Optional[float], unit: str = "") -> str:
    """Return ``value`` for a cell of a table."""
    return "-" if value is None else f"{value:,.4g}{unit}"


def _values(days: Sequence[Day], of: Callable[[Day], Optional[float]]) -> list[Optional[float]]:
    return [of(day) for day in days]


def _percents(series: Sequence[Series], target: float) -> Axis:
    """Return an axis up to 100 that begins not far below the values and ``target``, so that they differ."""
    lowest = min(value for one in series for value in (*one.values, target) if value is not None)
    return Axis(next(edge for edge in (80, 50, 0) if edge < lowest or edge == 0), 100)


def _success(figures: Figures) -> Chart:
    target = figures.policy.success_percent

    def draw(identity: str, title: str, text: str, series: Sequence[Series], names: Sequence[str]) -> str:
        return svg.lines(
            identity, title, text, series, names, marks=[target], axis=_percents(series, target), unit="%"
        )

    values = Series("Succeeded here", "one", _values(figures.days, lambda day: day.success_percent))
    chart = _by_day(figures, "success", "Jobs that succeed", [values], draw, " %")
    return chart._replace(mark=f"goal {target:g} %")


def _jobs(figures: Figures) -> Chart:
    days = figures.days
    series = [
        Series("Succeeded here", "one", _values(days, lambda day: day.succeeded)),
        Series("Failed here", "bad", _values(days, lambda day: day.failed)),
        Series("Ran hosted", "three", _values(days, lambda day: day.hosted)),
    ]
    return _by_day(figures, "jobs", "Jobs per day", series, svg.bars)


def _durations(figures: Figures) -> Chart:
    def draw(identity: str, title: str, text: str, series: Sequence[Series], names: Sequence[str]) -> str:
        return svg.lines(identity, title, text, series, names)

    series = [
        Series("Here", "one", _values(figures.days, lambda day: _minutes(day.mean_seconds))),
        Series("Hosted", "two", _values(figures.days, lambda day: _minutes(day.hosted_mean_seconds))),
    ]
    return _by_day(figures, "durations", "Minutes per job", series, draw)


def _minutes(seconds: Optional[float]) -> Optional[float]:
    return None if seconds is None else round(seconds / 60, 2)


def _hits(figures: Figures) -> Chart:
    target = figures.policy.cache_hit_percent

    def draw(identity: str, title: str, text: str, series: Sequence[Series], names: Sequence[str]) -> str:
        return svg.lines(
            identity, title, text, series, names, marks=[target], axis=_percents(series, target), unit="%"
        )

    values = Series("Found in a cache", "one", _values(figures.days, lambda day: day.hit_percent))
    chart = _by_day(figures, "hits", "Cache hits", [values], draw, " %")
    empty = figures.unknown.get("jobs", "no job told of its caches in this time")
    return chart._replace(empty=empty, mark=f"goal {target:g} %")


def _score(figures: Figures) -> Chart:
    points = figures.curve
    series = [
        Series("Mean", "one", [point.score for point in points]),
        Series("Lowest", "two", [point.lowest_score for point in points]),
    ]
    chart = _over_time(figures, "score", "Health score", series, (_HEALTHY, _DEGRADED), Axis(0, 100))
    return chart._replace(mark=f"healthy from {_HEALTHY}, degraded from {_DEGRADED}")


def _load(figures: Figures) -> Chart:
    series = [
        Series("Mean", "one", [point.load for point in figures.curve]),
        Series("Peak", "three", [point.peak_load for point in figures.curve]),
    ]
    return _over_time(figures, "load", "Load", series, (), None)


def _over_time(
    figures: Figures,
    identity: str,
    title: str,
    series: Sequence[Series],
    marks: Sequence[float],
    axis: Optional[Axis],
) -> Chart:
    moments = [time.gmtime(point.at) for point in figures.curve]
    short = figures.ends_at - figures.begins_at <= 2 * DAY_SECONDS
    names = [time.strftime("%H:%M" if short else "%d %b", moment).lstrip("0") for moment in moments]
    known = any(value is not None for one in series for value in one.values)
    there = [index for index in range(len(names)) if any(one.values[index] is not None for one in series)]
    text = f"{title}: {' and '.join(one.name.lower() for one in series)}, {count(len(names), 'moment')}."
    return Chart(
        title=title,
        series=tuple(series),
        drawing=svg.lines(identity, title, text, series, names, marks=marks, axis=axis) if known else "",
        empty=figures.unknown.get("samples", "no sample was taken in this time"),
        heads=("From (UTC)", *(one.name for one in series)),
        rows=tuple(
            (
                time.strftime("%Y-%m-%d %H:%M", moments[index]),
                *(told(one.values[index]) for one in series),
            )
            for index in there
        ),
    )
