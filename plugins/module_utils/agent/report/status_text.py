"""Status as text for a terminal: a single screen, what needs a person first. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ...host.sizes import size
from ...store.describe import ActiveDownload
from . import status_view as states
from .needs import ATTENTION, CRITICAL, Need
from .status_view import View
from .words import clean, clip, columns, count, duration, pad, wrap

_LABEL_WIDTH = 10
_NARROWEST = 40
# These limits keep the whole on one screen.
_MOST_NEEDS = 6
_MOST_LINES = 5  # per part

# SGR parameters (ECMA-48). Only the eight basic colours, for which every theme ensures contrast.
_STYLES = {"good": "32", "warn": "33", "bad": "31;1", "strong": "1", "dim": "2", "": ""}
_LEVELS = {states.OK: "good", ATTENTION: "warn", CRITICAL: "bad"}
# In the order of the screen.
_RUNNERS = {
    states.DOWN: "bad",
    states.DRAINED: "warn",
    states.BUSY: "strong",
    states.UNKNOWN: "dim",
    states.IDLE: "good",
}
_VERDICTS = {"healthy": "good", "degraded": "warn", "unhealthy": "bad"}


class Span(NamedTuple):
    """Text with a style, a key of _STYLES."""

    text: str
    style: str = ""


Line = list[Span]


def render(view: View, colour: bool, width: int) -> str:
    """Return the screen in lines of at most ``width`` columns (at least 40)."""
    width = max(width, _NARROWEST)
    lines = [*_head(view, width), [Span("")]]
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


def _head(view: View, width: int) -> list[Line]:
    """Return the host and the verdict, with the time if there is room."""
    critical = sum(need.level == CRITICAL for need in view.needs)
    said = {
        states.OK: "nothing needs you" + (", as far as is known" if view.unknown else ""),
        ATTENTION: f"{count(len(view.needs), 'thing')} to look at",
        CRITICAL: f"{critical} critical",
    }[view.level]
    at = f"{view.at[:10]} {view.at[11:16]} UTC"
    verdict, host = Span(said, _LEVELS[view.level]), clean(view.host)
    if columns(host) + columns(said) + 2 > width:
        return [[Span(f"{clip(host, width - 1)}:", "strong")], [verdict]]
    line = [Span(host, "strong"), Span(": "), verdict]
    gap = width - columns(host) - columns(said) - len(at) - 2
    return [[*line, Span(" " * gap), Span(at, "dim")] if gap > 0 else line]


def _parts(view: View, width: int) -> Iterator[tuple[str, list[Line]]]:
    """Yield the parts below the head with their labels; ``width`` is that of a part."""
    yield "RUNNERS", _runners(view, width)
    yield "TODAY", _today(view, width)
    yield "HEALTH", _health(view, width)
    yield "CACHES", _caches(view, width)
    if view.downloads:
        lines = [line for download in view.downloads for line in _download(download)]
        yield "DOWNLOADS", _several(lines, "line")
    yield "DISK", _disks(view, width)
    yield "NEXT", _coming(view, width)
    yield "HEALED", _healed(view, width)
    last = [("converge", view.converged_at), ("maintenance", view.maintained_at)]
    texts = [f"{name} {at[:10]} {at[11:16]} UTC" for name, at in last if at]
    if texts:
        yield "LAST", [[Span(text)] for text in texts]


def _labelled(label: str, part: list[Line]) -> Iterator[Line]:
    for number, line in enumerate(part):
        yield [Span(pad("" if number else label, _LABEL_WIDTH), "strong"), *line]


def _painted(line: Line, colour: bool, width: int) -> str:
    """Return ``line`` in at most ``width`` columns, with SGR codes if ``colour``."""
    done = []
    for text, style in line:
        cut = clip(text, width)
        width -= columns(cut)
        code = _STYLES[style] if colour and cut.strip() else ""
        done.append(f"\x1b[{code}m{cut}\x1b[0m" if code else cut)
    return "".join(done).rstrip()


def _unknown(view: View, part: str, width: int) -> list[Line]:
    why = clean(view.unknown.get(part, "not checked"))
    return [[Span(line, "dim")] for line in wrap(f"unknown: {why}", width)]


def _several(lines: list[Line], noun: str) -> list[Line]:
    """Return ``lines``, or the first of them and the number of the others."""
    if len(lines) <= _MOST_LINES:
        return lines
    rest = len(lines) - _MOST_LINES + 1
    return [*lines[: _MOST_LINES - 1], [Span(f"and {count(rest, f'more {noun}')}", "dim")]]


def _runners(view: View, width: int) -> list[Line]:
    if view.runners is None:
        return _unknown(view, "runners", width)
    if not view.runners:
        return [[Span("none on this machine")]]
    names = [clean(runner.name) for runner in view.runners]
    # A third is enough where the jobs need the rest.
    room = width // 3 if any(runner.state == states.BUSY for runner in view.runners) else width - 10
    column = min(max(map(columns, names)), room)
    lines = []
    order = list(_RUNNERS)
    for runner in sorted(view.runners, key=lambda runner: (order.index(runner.state), runner.name)):
        line = [
            Span(pad(clean(runner.name), column) + "  "),
            Span(pad(runner.state, 8), _RUNNERS[runner.state]),
        ]
        if runner.state != states.BUSY and runner.version:
            line.append(Span(runner.version, "dim"))
        if runner.seconds is not None:
            line.append(Span(pad(duration(runner.seconds), 12)))
        if runner.job:
            where = ", ".join(clean(part) for part in (runner.workflow, runner.repository) if part)
            line.append(Span(f"{clean(runner.job)} ({where})" if where else clean(runner.job)))
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
        line.append(Span(f", {duration(today.mean_seconds)} on average"))
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
    rows = [[Span(pad(clean(cache.name), room)), Span(f"{size(cache.bytes):>12}")] for cache in view.caches]
    return [line, *_several(rows, "artifact")]


def _download(download: ActiveDownload) -> Iterator[Line]:
    line = [Span(f"{clean(download.name)}: {clean(download.phase)} {size(download.bytes_done)}")]
    if download.bytes_total:
        line.append(
            Span(f" of {size(download.bytes_total)} ({download.bytes_done * 100 // download.bytes_total} %)")
        )
    if not download.alive:
        yield [*line, Span(", interrupted", "warn")]
        return
    if download.bytes_per_second:
        line.append(Span(f", {size(download.bytes_per_second)}/s"))
    if download.remaining_seconds is not None:
        line.append(Span(f", {duration(download.remaining_seconds)} to go"))
    yield line
    if download.next:
        rest = download.next_count - len(download.next)
        names = ", ".join(clean(name) for name in download.next)
        yield [Span(f"next: {names}{f' and {rest} more' if rest > 0 else ''}", "dim")]


def _disks(view: View, width: int) -> list[Line]:
    if not view.disks:
        return _unknown(view, "disk", width)
    return [
        [Span(f"{clean(disk.path)}: {disk.used_percent:.0f} % used, {size(disk.free_bytes)} free")]
        for disk in view.disks
    ]


def _coming(view: View, width: int) -> list[Line]:
    if view.coming is None:
        return _unknown(view, "timers", width)
    if not view.coming:
        return [[Span("nothing is scheduled on this machine")]]
    texts = [
        f"{clean(timer.name)} by cron: {clean(timer.schedule or '')}"
        if timer.seconds is None
        else f"{clean(timer.name)} in {duration(timer.seconds)}"
        for timer in view.coming
    ]
    return _several([[Span(text)] for text in texts], "timer")


def _healed(view: View, width: int) -> list[Line]:
    if view.healed is None:
        return _unknown(view, "healed", width)
    if not view.healed:
        return [[Span("nothing in 24 hours")]]
    texts = [f"{duration(healing.seconds)} ago: {clean(healing.what)}" for healing in view.healed]
    return _several([[Span(line)] for text in texts for line in wrap(text, width)], "line")
