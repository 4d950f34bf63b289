"""Charts of a report as inline SVG, each with its numbers as a table. Pure.

The page's style sheet has the colours. A chart is 360 units wide, so that on a phone its text is as large as
the page's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple, Optional

from ..history.statistics import DAY_SECONDS
from .figures import Day, Figures
from .words import count, duration

WIDTH, HEIGHT = 360, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 10, 24
_WIDEST_BAR = 40
_ROUND_STEPS = (1, 2, 2.5, 5, 10)


class Series(NamedTuple):
    """Values of a line or of bars, None where unknown; ``style`` is a CSS class."""

    name: str
    style: str
    values: Sequence[Optional[float]]


class Axis(NamedTuple):
    """The values at the lower and the upper edge of a chart."""

    low: float
    high: float

    def y(self, value: float) -> float:
        """Return the y coordinate of ``value``; beyond an edge, that of the edge."""
        share = min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)


def lines(
    identity: str,
    title: str,
    description: str,
    series: Sequence[Series],
    labels: Sequence[str],
    *,
    marks: Sequence[float] = (),
    axis: Optional[Axis] = None,
    unit: str = "",
) -> str:
    """Return a line chart; a line is broken where a value is missing.

    ``labels`` name the values; the first, the middle and the last are written. Each of ``marks`` gets a line
    across. The default ``axis`` reaches from 0 to a round number.
    """
    axis = axis or _axis([value for curve in series for value in curve.values], marks)
    body = []
    for curve in series:
        for piece in _pieces(curve.values):
            dots = [(_x(index, len(labels)), axis.y(value)) for index, value in piece]
            if len(dots) == 1:
                body.append(f'<circle class="{curve.style}" cx="{dots[0][0]}" cy="{dots[0][1]}" r="2.5"/>')
            else:
                path = " ".join(f"{x},{y}" for x, y in dots)
                body.append(f'<polyline class="{curve.style}" points="{path}"/>')
    return _chart(identity, title, description, _frame(axis, unit, marks, labels) + "".join(body))


def bars(identity: str, title: str, description: str, series: Sequence[Series], labels: Sequence[str]) -> str:
    """Return a chart of stacked bars, a bar per label, the first series at the bottom."""
    sums = [sum(curve.values[index] or 0 for curve in series) for index in range(len(labels))]
    axis = _axis(sums, ())
    room = (WIDTH - _LEFT - _RIGHT) / max(1, len(labels))
    wide = min(_WIDEST_BAR, room - min(4.0, room / 4))
    body = []
    for index in range(len(labels)):
        below = 0.0
        for curve in series:
            value = curve.values[index] or 0
            if value:
                y, base = axis.y(below + value), axis.y(below)
                body.append(
                    f'<rect class="{curve.style}" x="{_LEFT + (index + 0.5) * room - wide / 2:.1f}" y="{y}" '
                    f'width="{wide:.1f}" height="{max(0.5, base - y):.1f}"/>'
                )
            below += value
    return _chart(identity, title, description, _frame(axis, "", (), labels) + "".join(body))


def _chart(identity: str, title: str, description: str, body: str) -> str:
    names = f'aria-labelledby="{identity}-t {identity}-d"'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" {names}>'
        f'<title id="{identity}-t">{escape(title)}</title>'
        f'<desc id="{identity}-d">{escape(description)}</desc>{body}</svg>'
    )


def _pieces(values: Sequence[Optional[float]]) -> list[list[tuple[int, float]]]:
    """Return the stretches of known values, each value with its index."""
    pieces: list[list[tuple[int, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((index, value))
    return [piece for piece in pieces if piece]


def _axis(values: Sequence[Optional[float]], marks: Sequence[float]) -> Axis:
    """Return the axis from 0 to a round number that no value or mark exceeds."""
    known = [value for value in values if value is not None]
    return Axis(0.0, ceiling(max([*known, *marks], default=1.0)))


def ceiling(value: float) -> float:
    """Return the next 1, 2, 2.5, 5 or 10 times a power of ten from ``value`` on."""
    power = 1.0
    while power * 10 < value:
        power *= 10
    while power > value > 0:
        power /= 10
    return next((power * step for step in _ROUND_STEPS if power * step >= value), 1.0)


def _x(index: int, count: int) -> float:
    room = WIDTH - _LEFT - _RIGHT
    return round(_LEFT + (room * index / (count - 1) if count > 1 else room / 2), 1)


def _frame(axis: Axis, unit: str, marks: Sequence[float], labels: Sequence[str]) -> str:
    """Return the grid: three heights with their numbers, the marks, and a few labels."""
    parts = []
    for value in (axis.low, (axis.low + axis.high) / 2, axis.high):
        y = axis.y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{y + 4}" class="end">{value:g}{escape(unit)}</text>')
    for mark in marks:
        y = axis.y(mark)
        parts.append(f'<line class="mark" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
    if labels:
        middle = len(labels) // 2
        shown = {0: "", len(labels) - 1: "end"} if len(labels) > 1 else {0: "middle"}
        if len(labels) > 4:
            shown[middle] = "middle"
        for index, anchor in shown.items():
            x = _x(index, len(labels))
            parts.append(f'<text x="{x}" y="{HEIGHT - 6}" class="{anchor}">{escape(labels[index])}</text>')
    return "".join(parts)


# Source: the verdicts of the health policy.
_HEALTHY, _DEGRADED = 75, 50


class Chart(NamedTuple):
    """Chart with its legend and its table.

    Without data ``drawing`` is empty and ``empty`` says why. ``mark`` says what the dashed lines mean.
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
    """Return a chart with a value per day; without any value it is empty."""
    days = figures.days
    known = any(value for line in series for value in line.values if value is not None)
    names = [day_name(day.date) for day in days]
    description = f"{', '.join(line.name for line in series)}, by day, {names[0]} to {names[-1]}."
    return Chart(
        title=title,
        series=tuple(series),
        drawing=draw(identity, title, description, series, names) if known else "",
        empty=figures.unknown.get("jobs", "no job ended in this time"),
        heads=("Day", *(line.name for line in series)),
        rows=tuple(
            (day.date, *(cell(line.values[index], unit) for line in series)) for index, day in enumerate(days)
        ),
    )


def day_name(date: str) -> str:
    """Return ``YYYY-MM-DD`` for a person: 21 Nov."""
    return time.strftime("%d %b", time.strptime(date, "%Y-%m-%d")).lstrip("0")


def cell(value: Optional[float], unit: str = "") -> str:
    """Return ``value`` for a cell of a table."""
    return "-" if value is None else f"{value:,.4g}{unit}"


def time_cell(seconds: Optional[float]) -> str:
    """Return a time in seconds for a cell of a table."""
    return "-" if seconds is None else duration(seconds)


def _values(days: Sequence[Day], of: Callable[[Day], Optional[float]]) -> list[Optional[float]]:
    return [of(day) for day in days]


def _percents(series: Sequence[Series], target: float) -> Axis:
    """Return an axis up to 100 that begins just below the values and ``target``."""
    lowest = min(value for line in series for value in (*line.values, target) if value is not None)
    return Axis(next(edge for edge in (80, 50, 0) if edge < lowest or edge == 0), 100)


def _percent_by_day(figures: Figures, identity: str, title: str, values: Series, target: float) -> Chart:
    """Return a chart of percents by day with a mark at their goal."""

    def draw(identity: str, title: str, text: str, series: Sequence[Series], names: Sequence[str]) -> str:
        return lines(
            identity, title, text, series, names, marks=[target], axis=_percents(series, target), unit="%"
        )

    chart = _by_day(figures, identity, title, [values], draw, " %")
    return chart._replace(mark=f"goal {target:g} %")


def _success(figures: Figures) -> Chart:
    values = Series("Succeeded here", "one", _values(figures.days, lambda day: day.success_percent))
    return _percent_by_day(figures, "success", "Jobs that succeed", values, figures.policy.success_percent)


def _jobs(figures: Figures) -> Chart:
    days = figures.days
    series = [
        Series("Succeeded here", "one", _values(days, lambda day: day.succeeded)),
        Series("Failed here", "bad", _values(days, lambda day: day.failed)),
        Series("Ran hosted", "three", _values(days, lambda day: day.hosted)),
    ]
    return _by_day(figures, "jobs", "Jobs per day", series, bars)


def _durations(figures: Figures) -> Chart:
    series = [
        Series("Here", "one", _values(figures.days, lambda day: _minutes(day.mean_seconds))),
        Series("Hosted", "two", _values(figures.days, lambda day: _minutes(day.hosted_mean_seconds))),
    ]
    return _by_day(figures, "durations", "Minutes per job", series, lines)


def _minutes(seconds: Optional[float]) -> Optional[float]:
    return None if seconds is None else round(seconds / 60, 2)


def _hits(figures: Figures) -> Chart:
    values = Series("Found in a cache", "one", _values(figures.days, lambda day: day.hit_percent))
    chart = _percent_by_day(figures, "hits", "Cache hits", values, figures.policy.cache_hit_percent)
    return chart._replace(empty=figures.unknown.get("jobs", "no job reported its cache hits in this time"))


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
    known = any(value is not None for line in series for value in line.values)
    there = [index for index in range(len(names)) if any(line.values[index] is not None for line in series)]
    text = f"{title}: {' and '.join(line.name.lower() for line in series)}, {count(len(names), 'moment')}."
    return Chart(
        title=title,
        series=tuple(series),
        drawing=lines(identity, title, text, series, names, marks=marks, axis=axis) if known else "",
        empty=figures.unknown.get("samples", "no sample was taken in this time"),
        heads=("From (UTC)", *(line.name for line in series)),
        rows=tuple(
            (
                time.strftime("%Y-%m-%d %H:%M", moments[index]),
                *(cell(line.values[index]) for line in series),
            )
            for index in there
        ),
    )
