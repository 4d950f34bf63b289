"""The status as text for a terminal: one screen, the bad news first. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ...host.sizes import size
from ...store.describe import ActiveDownload
from . import status_view as states
from .needs import ATTENTION, CRITICAL, Need
from .status_view import View
from .words import clean, clip, columns, count, lasting, pad, wrap

_LABEL_WIDTH = 10
_NARROWEST = 40
# So that the whole stays one screen.
_MOST_NEEDS = 6
_MOST_LINES = 5  # of one part

# SGR parameters (ECMA-48): the eight basic colours only, so that every theme's own contrast holds.
_STYLES = {"good": "32", "warn": "33", "bad": "31;1", "strong": "1", "dim": "2", "": ""}
_LEVELS = {states.OK: "good", ATTENTION: "warn", CRITICAL: "bad"}
# In the order in which a person wants to see them.
_RUNNERS = {
    states.DOWN: "bad",
    states.DRAINED: "warn",
    states.BUSY: "strong",
    states.UNKNOWN: "dim",
    states.IDLE: "good",
}
_VERDICTS = {"healthy": "good", "degraded": "warn", "unhealthy": "bad"}


class Span(NamedTuple):
    """Text in one of the styles."""

    text: str
    style: str = ""


Line = list[Span]


def render(view: View, colour: bool, width: int) -> str:
    """Return the whole screen in lines of at most ``width`` columns, 40 at least; no newline at its end."""
    width = max(width, _NARROWEST)
    lines = [_head(view, width), [Span("")]]
    for need in view.needs[:_MOST_NEEDS]:
        lines.extend(_need(need, width))
    if len(view.needs) > _MOST_NEEDS:
        rest = count(len(view.needs) - _MOST_NEEDS, "more thing")
        lines.append([Span(f"   and {rest}; see: runnerctl status --json", "dim")])
    if view.needs:
        lines.append([Span("")])
    for label, part in _parts(view, width - _LABEL_WIDTH):
        lines.extend(_labelled(label, part))
    return "\n".join(_painted(line, colour, width) for line in lines)


def _need(need: Need, width: int) -> Iterator[Line]:
    mark = "!!" if need.level == CRITICAL else "! "
    for line in wrap(clean(need.what), width - 3):
        yield [Span(f"{mark} {line}", _LEVELS[need.level])]
        mark = "  "
    for line in wrap(clean(need.todo), width - 3):
        yield [Span(f"   {line}", "dim")]


def _head(view: View, width: int) -> Line:
    critical = sum(need.level == CRITICAL for need in view.needs)
    said = {
        states.OK: "nothing needs you" + (", as far as is known" if view.unknown else ""),
        ATTENTION: f"{count(len(view.needs), 'thing')} to look at",
        CRITICAL: f"{critical} critical",
    }[view.level]
    at = f"{view.at[:10]} {view.at[11:16]} UTC"
    host = clip(clean(view.host), width - columns(said) - len(at) - 6)
    gap = " " * (width - columns(host) - columns(said) - len(at) - 2)
    return [
        Span(host, "strong"),
        Span(": "),
        Span(said, _LEVELS[view.level]),
        Span(gap),
        Span(at, "dim"),
    ]


def _parts(view: View, width: int) -> Iterator[tuple[str, list[Line]]]:
    """Yield the parts below the head with their labels; ``width`` is what is left beside a label."""
    yield "RUNNERS", _runners(view, width)
    yield "TODAY", _today(view, width)
    yield "HEALTH", _health(view, width)
    yield "CACHES", _caches(view, width)
    if view.downloads:
        told = [line for one in view.downloads for line in _download(one)]
        yield "DOWNLOADS", _several(told, "line")
    yield "DISK", _disks(view, width)
    yield "NEXT", _coming(view, width)
    yield "HEALED", _healed(view, width)


def _labelled(label: str, part: list[Line]) -> Iterator[Line]:
    for number, line in enumerate(part):
        yield [Span(pad("" if number else label, _LABEL_WIDTH), "strong"), *line]


def _painted(line: Line, colour: bool, width: int) -> str:
    """Return ``line`` in at most ``width`` columns, with its colours where they are wanted."""
    done = []
    for text, style in line:
        cut = clip(text, width)
        width -= columns(cut)
        code = _STYLES[style] if colour and cut.strip() else ""
        done.append(f"\x1b[{code}m{cut}\x1b[0m" if code else cut)
    return "".join(done).rstrip()


def _unknown(view: View, part: str, width: int) -> list[Line]:
    why = clean(view.unknown.get(part, "nobody looked"))
    return [[Span(line, "dim")] for line in wrap(f"unknown: {why}", width)]


def _several(lines: list[Line], noun: str) -> list[Line]:
    """Return ``lines``, or the first of them and how many more there are."""
    if len(lines) <= _MOST_LINES:
        return lines
    rest = len(lines) - _MOST_LINES + 1
    return [*lines[: _MOST_LINES - 1], [Span(f"and {count(rest, f'more {noun}')}", "dim")]]


def _runners(view: View, width: int) -> list[Line]:
    if view.runners is None:
        return _unknown(view, "runners", width)
    if not view.runners:
        return [[Span("none on this machine")]]
    names = [clean(one.name) for one in view.runners]
    column = min(max(map(columns, names)), width // 3)
    lines = []
    order = list(_RUNNERS)
    for one in sorted(view.runners, key=lambda one: (order.index(one.state), one.name)):
        line = [Span(pad(clean(one.name), column) + "  "), Span(pad(one.state, 8), _RUNNERS[one.state])]
        if one.seconds is not None:
            line.append(Span(pad(lasting(one.seconds), 12)))
        if one.job:
            where = ", ".join(clean(part) for part in (one.workflow, one.repository) if part)
            line.append(Span(f"{clean(one.job)} ({where})" if where else clean(one.job)))
        lines.append(line)
    return _several(lines, "runner")


def _today(view: View, width: int) -> list[Line]:
    today = view.today
    if today is None:
        return _unknown(view, "jobs", width)
    if today.success_percent is None:
        ended = f"{count(today.untold, 'job')} ended with an unknown result"
        return [[Span(ended if today.untold else "no job ended here yet")]]
    style = "good" if today.successes == today.jobs else "warn"
    line = [Span(f"{count(today.jobs, 'job')}, "), Span(f"{today.success_percent:g} % succeeded", style)]
    if today.mean_seconds is not None:
        line.append(Span(f", {lasting(today.mean_seconds)} on average"))
    more = [[Span(f"{today.untold} more with an unknown result")]] if today.untold else []
    return [line, *more]


def _health(view: View, width: int) -> list[Line]:
    health = view.health
    if health is None:
        return _unknown(view, "health", width)
    style = "dim" if health.expired else _VERDICTS.get(health.verdict, "")
    line = [Span(f"{health.score} of 100, "), Span(clean(health.verdict), style)]
    line.append(Span(f", {clean(health.recommendation)}"))
    if health.expired:
        line.append(Span(f"; this was at {health.observed_at[11:16]} UTC", "dim"))
    lost = [[Span(f"{-points:>4}  {clean(what)}", "warn")] for points, what in health.reasons]
    measured = []
    if view.load is not None:
        measured.append(f"load {view.load:g}")
    if view.memory_percent is not None:
        measured.append(f"memory {view.memory_percent:.0f} % used")
    return [line, *_several(lost, "reason"), *([[Span(", ".join(measured), "dim")]] if measured else [])]


def _caches(view: View, width: int) -> list[Line]:
    if view.caches is None or view.cache_bytes is None:
        return _unknown(view, "caches", width)
    if not view.caches:
        return [[Span("empty")]]
    line = [Span(f"{size(view.cache_bytes)} in {count(len(view.caches), 'artifact')}")]
    if view.cache_hit_percent is not None:
        line.append(Span(f", {view.cache_hit_percent:g} % hits in 24 hours"))
    room = width - 12
    rows = [[Span(pad(clean(one.name), room)), Span(f"{size(one.bytes):>12}")] for one in view.caches]
    return [line, *_several(rows, "artifact")]


def _download(one: ActiveDownload) -> Iterator[Line]:
    line = [Span(f"{clean(one.name)}: {clean(one.phase)} {size(one.bytes_done)}")]
    if one.bytes_total:
        line.append(Span(f" of {size(one.bytes_total)} ({one.bytes_done * 100 // one.bytes_total} %)"))
    if not one.alive:
        yield [*line, Span(", interrupted", "warn")]
        return
    if one.bytes_per_second:
        line.append(Span(f", {size(one.bytes_per_second)}/s"))
    if one.remaining_seconds is not None:
        line.append(Span(f", {lasting(one.remaining_seconds)} to go"))
    yield line
    if one.next:
        rest = one.next_count - len(one.next)
        names = ", ".join(clean(name) for name in one.next)
        yield [Span(f"next: {names}{f' and {rest} more' if rest > 0 else ''}", "dim")]


def _disks(view: View, width: int) -> list[Line]:
    if not view.disks:
        return _unknown(view, "disk", width)
    return [
        [Span(f"{clean(one.path)}: {one.used_percent:.0f} % used, {size(one.free_bytes)} free")]
        for one in view.disks
    ]


def _coming(view: View, width: int) -> list[Line]:
    if view.coming is None:
        return _unknown(view, "timers", width)
    if not view.coming:
        return [[Span("nothing is scheduled on this machine")]]
    told = [
        f"{clean(one.name)} by cron: {clean(one.schedule or '')}"
        if one.seconds is None
        else f"{clean(one.name)} in {lasting(one.seconds)}"
        for one in view.coming
    ]
    return _several([[Span(text)] for text in told], "timer")


def _healed(view: View, width: int) -> list[Line]:
    if view.healed is None:
        return _unknown(view, "healed", width)
    if not view.healed:
        return [[Span("nothing had to be")]]
    told = [f"{lasting(one.seconds)} ago: {clean(one.what)}" for one in view.healed]
    return _several([[Span(line)] for text in told for line in wrap(text, width)], "line")
