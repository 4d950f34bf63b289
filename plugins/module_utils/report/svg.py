"""Charts as inline SVG, drawn with no more than text; colours are the page's. Pure.

A chart is 360 units wide, so that its text is as large as the page's on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple, Optional

WIDTH, HEIGHT = 360, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 10, 24
_WIDEST_BAR = 40
_ROUND_STEPS = (1, 2, 2.5, 5, 10)


class Series(NamedTuple):
    """Values of one thing, None where there are none; ``style`` is a class of the page's style sheet."""

    name: str
    style: str
    values: Sequence[Optional[float]]


class Axis(NamedTuple):
    """The values at the lower and the upper edge of a chart."""

    low: float
    high: float

    def y(self, value: float) -> float:
        """Return the height of ``value``; what lies beyond an edge is drawn on it."""
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
    """Return a line chart; a line is broken where a value is missing. ``labels`` name the values; only the
    first, the middle and the last are written. ``marks`` get a line across. Without an ``axis`` it reaches
    from 0 to a round number.
    """
    axis = axis or _axis([value for one in series for value in one.values], marks)
    body = []
    for one in series:
        for piece in _pieces(one.values):
            dots = [(_x(index, len(labels)), axis.y(value)) for index, value in piece]
            if len(dots) == 1:
                body.append(f'<circle class="{one.style}" cx="{dots[0][0]}" cy="{dots[0][1]}" r="2.5"/>')
            else:
                path = " ".join(f"{x},{y}" for x, y in dots)
                body.append(f'<polyline class="{one.style}" points="{path}"/>')
    return _chart(identity, title, description, _frame(axis, unit, marks, labels) + "".join(body))


def bars(identity: str, title: str, description: str, series: Sequence[Series], labels: Sequence[str]) -> str:
    """Return a chart of stacked bars, one for each of ``labels``, the first series at the bottom."""
    sums = [sum(one.values[index] or 0 for one in series) for index in range(len(labels))]
    axis = _axis(sums, ())
    room = (WIDTH - _LEFT - _RIGHT) / max(1, len(labels))
    wide = min(_WIDEST_BAR, room - min(4.0, room / 4))
    body = []
    for index in range(len(labels)):
        below = 0.0
        for one in series:
            value = one.values[index] or 0
            if value:
                y, base = axis.y(below + value), axis.y(below)
                body.append(
                    f'<rect class="{one.style}" x="{_LEFT + (index + 0.5) * room - wide / 2:.1f}" y="{y}" '
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
    """Return the runs of values that are there, with their indexes."""
    found: list[list[tuple[int, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            found.append([])
        else:
            found[-1].append((index, value))
    return [piece for piece in found if piece]


def _axis(values: Sequence[Optional[float]], marks: Sequence[float]) -> Axis:
    """Return the axis from 0 to a round number that nothing passes."""
    known = [value for value in values if value is not None]
    return Axis(0.0, ceiling(max([*known, *marks], default=1.0)))


def ceiling(value: float) -> float:
    """Return the next round number (1, 2, 2.5, 5 or 10 by a power of ten) from ``value`` on."""
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
    """Return the axes: three heights with their numbers, the marks, and a few labels below."""
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
