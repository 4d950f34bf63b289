"""``runnerctl metrics``: what the machine does at the moment, and did.

What the samples of some hours come to: means, peaks, insights; for people and programs. Pure.

A sample as a table for the terminal. Pure.
"""

from __future__ import annotations

import argparse
import contextlib
import html
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, Optional

from ...host.config import read_config
from ...host.paths import Paths, paths_of
from ...host.sizes import size
from ...metrics.sample import target_of
from .output import ATTENTION, OK, put, put_json, say, table

# Source: ColdVox's own reports. Comparisons are strict.
_HIGH_LOAD = 4.0
_HIGH_MEMORY_MB = 20000.0
FORMATS = ("md", "html", "json")


class Summary(NamedTuple):
    """Of all samples: their number, first and last moment, mean and highest load, memory and sizes in MB."""

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
    """Mean and peak of one column, as it goes by."""

    def __init__(self) -> None:
        self.total = 0.0
        self.peak = 0.0

    def add(self, value: float) -> None:
        self.total += value
        self.peak = max(self.peak, value)


_COLUMNS = (
    "load_avg",
    "memory_mb",
    "cache_size_mb",
    "vosk_model_mb",
    "rust_cache_mb",
    "active_jobs",
)


def summarize(rows: Iterable[Mapping[str, str]]) -> Summary:
    """Return what ``rows``, by the columns of the CSV, come to. A row with something else is passed over."""
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
    mean = {name: round(one.total / count, 2) if count else 0.0 for name, one in sums.items()}
    insights = []
    if count and sums["load_avg"].total / count > _HIGH_LOAD:
        insights.append("High CPU Usage")
    if count and sums["memory_mb"].total / count > _HIGH_MEMORY_MB:
        insights.append("High Memory Usage")
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


def rendered(summary: Summary, form: str) -> str:
    """Return ``summary`` as one of FORMATS."""
    if form == "json":
        return json.dumps({**summary._asdict(), "insights": list(summary.insights)}, indent=2)
    return _page(summary) if form == "html" else _markdown(summary)


def _facts(summary: Summary) -> list[tuple[str, str]]:
    return [
        ("Samples", str(summary.samples)),
        ("From", summary.first or "-"),
        ("To", summary.last or "-"),
        ("Load, mean", f"{summary.load_mean:.2f}"),
        ("Load, peak", f"{summary.load_peak:.2f}"),
        ("Memory, mean", f"{summary.memory_mean_mb:.0f} MB"),
        ("Memory, peak", f"{summary.memory_peak_mb:.0f} MB"),
        ("Store, mean", f"{summary.cache_mean_mb:.0f} MB"),
        ("Models, mean", f"{summary.models_mean_mb:.0f} MB"),
        ("Rust caches, mean", f"{summary.rust_cache_mean_mb:.0f} MB"),
        ("Jobs at once, peak", str(summary.active_jobs_peak)),
    ]


def _insights(summary: Summary) -> tuple[str, ...]:
    return summary.insights or ("Nothing stands out",)


def _markdown(summary: Summary) -> str:
    lines = ["# Runner metrics", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in _facts(summary)]
    return "\n".join([*lines, "", "## Insights", "", *(f"- {one}" for one in _insights(summary))])


def _page(summary: Summary) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in _facts(summary)
    )
    insights = "".join(f"<li>{html.escape(one)}</li>" for one in _insights(summary))
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Runner metrics</title>'
        "<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;margin:1rem auto;"
        "max-width:40rem;padding:0 1rem}th{text-align:left;font-weight:400;padding-right:2rem}"
        "td{text-align:right;font-variant-numeric:tabular-nums}</style></head><body>"
        f"<h1>Runner metrics</h1><table>{rows}</table><h2>Insights</h2><ul>{insights}</ul></body></html>"
    )


_UNKNOWN = "-"


def lines(sample: Mapping[str, Any]) -> str:
    """Return ``sample`` as two tables, the host's and the runners'."""
    rows = [
        ("load", _plain(sample["load_1m"]), f"on {sample['cpu_count']} cores"),
        ("cpu", _share(sample["cpu_percent"]), ""),
        ("memory", _share(sample["memory_used_percent"]), f"{_size(sample['memory_available_bytes'])} left"),
        ("swap", _share(sample["swap_used_percent"]), ""),
        ("disk", _share(sample["disk_used_percent"]), f"{_size(sample['disk_free_bytes'])} free"),
        ("pressure", "", _pressure(sample)),
        ("network", "", _both(sample, "network_rx_bytes", "network_tx_bytes", "received", "sent")),
        ("disks", "", _both(sample, "disk_read_bytes", "disk_written_bytes", "read", "written")),
        ("store", _size(sample["store_bytes"]), f"{_size(sample['models_bytes'])} of it models"),
        ("rust", _size(sample["rust_cache_bytes"]), ""),
        ("github", _truth(sample["network_reachable"], "reachable", "not reachable"), ""),
        ("jobs", _plain(sample["active_jobs"]), f"{_plain(sample['listeners'])} listeners"),
    ]
    text = table((sample["timestamp"], "", ""), rows)
    if sample["instances"]:
        runners = [_runner(one) for one in sample["instances"]]
        text += "\n\n" + table(("RUNNER", "STATE", "CPU", "MEMORY"), runners)
    return text


def _runner(one: Mapping[str, Any]) -> tuple[str, str, str, str]:
    state = "busy" if one["busy"] else _truth(one["unit_active"], "idle", "stopped")
    return one["name"], state, _share(one["cpu_percent"]), _size(one["memory_bytes"])


def _pressure(sample: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_share(sample[f'psi_{name}_some_avg60'])}" for name in ("cpu", "memory", "io"))


def _both(sample: Mapping[str, Any], one: str, other: str, first: str, second: str) -> str:
    return f"{_size(sample[one])} {first}, {_size(sample[other])} {second}"


def _plain(value: Optional[float]) -> str:
    return _UNKNOWN if value is None else f"{value:g}"


def _share(value: Optional[float]) -> str:
    return _UNKNOWN if value is None else f"{value:.1f} %"


def _size(value: Optional[int]) -> str:
    return _UNKNOWN if value is None else size(value)


def _truth(value: Optional[bool], true: str, false: str) -> str:
    return _UNKNOWN if value is None else (true if value else false)


_SIZES_MAX_AGE_SECONDS = 900.0
_CLEAR = "\x1b[H\x1b[J"


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the commands of this group to its parser."""
    commands = group.add_subparsers(prog=group.prog, metavar="COMMAND", required=True)
    paths = paths_of(defaults)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON")
    shared.set_defaults(paths=paths)
    sampling = commands.add_parser("sample", parents=[shared], help="one sample of this machine")
    sampling.add_argument("--job", action="store_true", help="with the job that calls, from its environment")
    sampling.add_argument("--csv", metavar="FILE", help="append the sample to this file, in 19 columns")
    sampling.set_defaults(perform=sample)
    watching = commands.add_parser("watch", parents=[shared], help="sample after sample, until interrupted")
    watching.add_argument("--interval", metavar="SECONDS", type=_interval, default=5.0, help="default: 5")
    watching.add_argument("--count", metavar="N", type=int, default=0, help="stop after so many samples")
    watching.set_defaults(perform=watch)
    reporting = commands.add_parser("report", parents=[shared], help="means, peaks and what stands out")
    reporting.add_argument("--format", choices=("md", "html", "json"), default="md", help="default: md")
    reporting.add_argument("--hours", metavar="N", type=float, default=24.0, help="default: 24; 0 for all")
    reporting.add_argument("--csv", metavar="FILE", help="the samples; default: the sampler's")
    reporting.set_defaults(perform=report)
    running = commands.add_parser("run", parents=[shared], help="be the sampler (its service calls this)")
    running.set_defaults(perform=serve)


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0.1 to 3600")
    return seconds


def sample(options: argparse.Namespace) -> int:
    """Take one sample; attention when a source could not be read."""
    from ...metrics import csv_log
    from ...metrics.sample import take_samples

    (taken,) = take_samples(*_once(options.paths), 1, 0)
    environment = os.environ if options.job else {}
    if options.csv:
        csv_log.append(options.csv, [csv_log.row(taken, environment)])
    job = csv_log.job_columns(environment) if options.job else {}
    _print(options, {**taken, **({"job": job} if job else {})})
    if job and not options.json:
        put("job: " + ", ".join(f"{name} {value}" for name, value in job.items()))
    return ATTENTION if taken["unavailable"] else OK


def _once(paths: Paths) -> tuple[Any, Any]:
    """Return target and sources of a program that ends; what takes long is asked of the sampler."""
    from ...host.process import run
    from ...metrics.sources import machine
    from ..sampler import fresh_sample

    sources = machine(run)
    known = fresh_sample(paths, _SIZES_MAX_AGE_SECONDS, time.time()) or {}
    rust_bytes = known.get("rust_cache_bytes")
    if isinstance(rust_bytes, int):
        sources = sources._replace(tree_bytes=lambda _roots: rust_bytes)
    return target_of(paths, read_config(paths.config)), sources


def _print(options: argparse.Namespace, taken: dict[str, Any]) -> None:

    if options.json:
        put_json(taken)
        return
    put(lines(taken))
    if taken["unavailable"]:
        say(f"not known here: {', '.join(taken['unavailable'])}")


def watch(options: argparse.Namespace) -> int:
    """Print a sample every interval: in place on a terminal, one below the other elsewhere."""
    import json

    from ...host.process import run
    from ...metrics.probe import reachable
    from ...metrics.sample import FIRST_WINDOW_SECONDS, Series
    from ...metrics.sources import resident

    paths: Paths = options.paths
    series = Series(target_of(paths, read_config(paths.config)), resident(run, reachable))
    live = sys.stdout.isatty() and not options.json
    number = 0
    while not options.count or number < options.count:
        time.sleep(options.interval if number else FIRST_WINDOW_SECONDS)
        taken = series.take()
        number += 1
        # One line each, so that a program can read them as they come.
        text = json.dumps(taken) if options.json else lines(taken)
        put(f"{_CLEAR}{text}" if live else text if options.json else f"{text}\n")
        sys.stdout.flush()
    return OK


def report(options: argparse.Namespace) -> int:
    """Say what the samples of the last hours come to; attention when something stands out."""
    from ...metrics import csv_log

    paths: Paths = options.paths
    path = options.csv or paths.samples
    since = ""
    if options.hours > 0:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() - options.hours * 3600))
    summary = summarize(csv_log.read(path, since, foreign=not options.csv))
    put(rendered(summary, "json" if options.json else options.format))
    return ATTENTION if summary.insights else OK


def serve(options: argparse.Namespace) -> int:
    """Be the sampler service, until systemd stops it."""
    from ...health.policy import merged_policy
    from ...host.process import run
    from ...host.systemd import Notifier
    from ...metrics.sample import Series
    from ...metrics.sources import resident
    from ..assess import last_probe
    from ..sampler import Journal, Sampler
    from ..sampler import serve as serve_samples

    paths: Paths = options.paths
    config = read_config(paths.config)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    valid_seconds = float(merged_policy(config.policy)["valid_seconds"])
    sources = resident(run, partial(last_probe, paths, valid_seconds))
    sampler = Sampler(
        Series(target_of(paths, config), sources),
        paths,
        Journal(_journal),
        ingest=partial(_ingest, paths),
    )
    serve_samples(sampler, config.interval_seconds, Notifier(os.environ), stopped.wait)
    return OK


def _journal(line: str) -> None:
    """Write a line for the journal; one that is away is no reason to stop."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def _ingest(paths: Paths) -> None:
    """Take what the hooks of jobs left into the history; costs nothing while there is nothing."""
    if not (_anything_in(paths.results) or _anything_below(paths.jobs)):
        return
    from ..history.database import History
    from ..history.spool import ingest

    with History(paths.history) as history:
        done = ingest(history, paths.jobs)
    for reason in done.reasons:
        _journal(f"<4>history: {reason}")


def _anything_below(spool_dir: str) -> bool:
    with contextlib.suppress(OSError), os.scandir(spool_dir) as instances:
        return any(_anything_in(instance.path) for instance in instances)
    return False


def _anything_in(directory: str) -> bool:
    # What cannot be listed is for the history to say.
    with contextlib.suppress(OSError), os.scandir(directory) as records:
        return next(records, None) is not None
    return False
