"""The summary of samples for ``runnerctl metrics report``: pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional

# The limits are those of ColdVox's own reports. Only a larger mean is an insight.
_HIGH_LOAD = 4.0
_HIGH_MEMORY_MB = 20000.0
FORMATS = ("md", "html", "json")
# Names and sentences are those of ColdVox's own reports, so that what reads them still does.
HIGH_CPU, HIGH_MEMORY = "High CPU Usage", "High Memory Usage"


class Summary(NamedTuple):
    """Number, first and last time, means and peaks of all samples."""

    samples: int
    first: str
    last: str
    load_mean: float
    load_peak: float
    memory_mean_mb: float
    memory_peak_mb: float
    cache_mean_mb: float
    models_mean_mb: float
    rust_cache_mean_mb: float
    active_jobs_peak: int
    insights: tuple[str, ...]


class _Sum:
    """A running sum and peak of one column."""

    def __init__(self) -> None:
        self.total = 0.0
        self.peak = 0.0

    def add(self, value: float) -> None:
        self.total += value
        self.peak = max(self.peak, value)


_COLUMNS = ("load_avg", "memory_mb", "cache_size_mb", "vosk_model_mb", "rust_cache_mb", "active_jobs")


def summarize(rows: Iterable[Mapping[str, str]]) -> Summary:
    """Return the summary of ``rows`` of the CSV, without rows that are not numbers."""
    sums = {name: _Sum() for name in _COLUMNS}
    count = 0
    first = last = ""
    for row in rows:
        numbers = _numbers(row)
        if numbers is None:
            continue
        for name, number in numbers.items():
            sums[name].add(number)
        count += 1
        last = row["timestamp"]
        first = first or last
    mean = {name: round(column.total / count, 2) if count else 0.0 for name, column in sums.items()}
    insights = []
    if count and sums["load_avg"].total / count > _HIGH_LOAD:
        insights.append(HIGH_CPU)
    if count and sums["memory_mb"].total / count > _HIGH_MEMORY_MB:
        insights.append(HIGH_MEMORY)
    return Summary(
        samples=count,
        first=first,
        last=last,
        load_mean=mean["load_avg"],
        load_peak=sums["load_avg"].peak,
        memory_mean_mb=mean["memory_mb"],
        memory_peak_mb=sums["memory_mb"].peak,
        cache_mean_mb=mean["cache_size_mb"],
        models_mean_mb=mean["vosk_model_mb"],
        rust_cache_mean_mb=mean["rust_cache_mb"],
        active_jobs_peak=int(sums["active_jobs"].peak),
        insights=tuple(insights),
    )


def _numbers(row: Mapping[str, str]) -> Optional[dict[str, float]]:
    try:
        return {name: float(row[name]) for name in _COLUMNS}
    except ValueError:
        return None


def render(summary: Summary, form: str) -> str:
    """Return ``summary`` in the format ``form``, one of FORMATS."""
    if form == "json":
        return json.dumps({**summary._asdict(), "insights": list(summary.insights)}, indent=2)
    return _page(summary) if form == "html" else _markdown(summary)


def _facts(summary: Summary) -> list[tuple[str, str]]:
    return [
        ("Average Load", f"{summary.load_mean:.2f}"),
        ("Peak Load", f"{summary.load_peak:.2f}"),
        ("Average Memory", f"{summary.memory_mean_mb:.0f} MB"),
        ("Peak Memory", f"{summary.memory_peak_mb:.0f} MB"),
        ("Total Cache Size", f"{summary.cache_mean_mb:.0f} MB"),
        ("Vosk Models", f"{summary.models_mean_mb:.0f} MB"),
        ("Rust Cache", f"{summary.rust_cache_mean_mb:.0f} MB"),
        ("Peak Jobs", str(summary.active_jobs_peak)),
        ("Sample Count", str(summary.samples)),
        ("From", summary.first or "-"),
        ("To", summary.last or "-"),
    ]


def _insights(summary: Summary) -> list[tuple[str, str]]:
    """Return a heading and a sentence about the processor and about the memory."""
    load, memory = f"{summary.load_mean:.2f}", f"{summary.memory_mean_mb:.0f}MB"
    cpu = (HIGH_CPU, f"Average load ({load}) suggests CPU bottleneck")
    used = (HIGH_MEMORY, f"Average memory usage ({memory}) approaching system limits")
    return [
        cpu if HIGH_CPU in summary.insights else ("CPU Usage", f"Normal load average ({load})"),
        used
        if HIGH_MEMORY in summary.insights
        else ("Memory Usage", f"Normal memory consumption ({memory})"),
    ]


def _markdown(summary: Summary) -> str:
    lines = ["# Performance Report", "", "## Summary", ""]
    lines += [f"- **{name}**: {value}" for name, value in _facts(summary)]
    lines += ["", "## Performance Insights", ""]
    return "\n".join([*lines, *(f"- **{name}**: {text}" for name, text in _insights(summary))])


def _page(summary: Summary) -> str:
    import html  # here, because the sampler does not need its table of half a megabyte

    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in _facts(summary)
    )
    insights = "".join(
        f"<li>{html.escape(name)}: {html.escape(text)}</li>" for name, text in _insights(summary)
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<title>Performance Report</title>"
        "<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;margin:1rem auto;"
        "max-width:40rem;padding:0 1rem}th{text-align:left;font-weight:400;padding-right:2rem}"
        "td{text-align:right;font-variant-numeric:tabular-nums}</style></head><body>"
        f"<h1>Performance Report</h1><table>{rows}</table><h2>Performance Insights</h2><ul>{insights}</ul>"
        "</body></html>"
    )
