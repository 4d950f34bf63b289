"""``runnerctl metrics``: sample this machine, and summarize the samples."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Optional

from ...host.config import read_config
from ...host.paths import Paths, paths_of
from ...host.sizes import size
from ...metrics.sample import target_of
from .metrics_report import FORMATS, render, summarize
from .output import ATTENTION, OK, log, print_json, print_line, table

_UNKNOWN = "-"
_SIZES_MAX_AGE_SECONDS = 900.0
_CLEAR = "\x1b[H\x1b[J"


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the commands of this group to its parser."""
    commands = group.add_subparsers(prog=group.prog, metavar="COMMAND", required=True)
    paths = paths_of(defaults)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON")
    shared.set_defaults(paths=paths)
    sampling = commands.add_parser("sample", parents=[shared], help="take one sample of this machine")
    sampling.add_argument("--job", action="store_true", help="add the calling job from its environment")
    sampling.add_argument("--csv", metavar="FILE", help="append the sample to this file, in 19 columns")
    sampling.set_defaults(perform=sample)
    watching = commands.add_parser(
        "watch", parents=[shared], help="show sample after sample, until interrupted"
    )
    watching.add_argument("--interval", metavar="SECONDS", type=_interval, default=5.0, help="default: 5")
    watching.add_argument("--count", metavar="N", type=int, default=0, help="stop after N samples")
    watching.set_defaults(perform=watch)
    reporting = commands.add_parser("report", parents=[shared], help="show means, peaks and outliers")
    reporting.add_argument("--format", choices=FORMATS, default="md", help="default: md")
    reporting.add_argument("--hours", metavar="N", type=float, default=24.0, help="default: 24; 0 for all")
    reporting.add_argument("--csv", metavar="FILE", help="the samples; default: the sampler's")
    reporting.set_defaults(perform=report)
    running = commands.add_parser("run", parents=[shared], help="run the sampler (its service calls this)")
    running.set_defaults(perform=serve)


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0.1 to 3600.")
    return seconds


def sample(options: argparse.Namespace) -> int:
    """Take one sample; return ATTENTION when a source could not be read."""
    from ...metrics import csv_log
    from ...metrics.sample import take_samples

    (taken,) = take_samples(*_once(options.paths), 1, 0)
    environment = os.environ if options.job else {}
    if options.csv:
        csv_log.append(options.csv, [csv_log.row(taken, environment)])
    job = csv_log.job_columns(environment) if options.job else {}
    _print(options, {**taken, **({"job": job} if job else {})})
    if job and not options.json:
        print_line("job: " + ", ".join(f"{name} {value}" for name, value in job.items()))
    return ATTENTION if taken["unavailable"] else OK


def _once(paths: Paths) -> tuple[Any, Any]:
    """Return target and sources of a single sample.

    The size of the Rust caches takes long, so it comes from the sampler's latest sample.
    """
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
        print_json(taken)
        return
    print_line(sample_tables(taken))
    if taken["unavailable"]:
        log(f"These values are not available here: {', '.join(taken['unavailable'])}")


def watch(options: argparse.Namespace) -> int:
    """Print a sample every interval: in place on a terminal, else one after another."""
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
        # One line for each, so that a program can read them one by one.
        text = json.dumps(taken) if options.json else sample_tables(taken)
        print_line(f"{_CLEAR}{text}" if live else text if options.json else f"{text}\n")
        sys.stdout.flush()
    return OK


def report(options: argparse.Namespace) -> int:
    """Print the summary of the last hours; return ATTENTION if it has an insight."""
    from ...metrics import csv_log

    paths: Paths = options.paths
    path = options.csv or paths.samples
    since = ""
    if options.hours > 0:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() - options.hours * 3600))
    summary = summarize(csv_log.read(path, since, foreign=not options.csv))
    print_line(render(summary, "json" if options.json else options.format))
    return ATTENTION if summary.insights else OK


def serve(options: argparse.Namespace) -> int:
    """Run the sampler service until systemd stops it."""
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
    """Write a line for the journal, if it is still open."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def _ingest(paths: Paths) -> None:
    """Add the records of the job hooks to the history, if there are any."""
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
    # The history reports a directory that cannot be listed.
    with contextlib.suppress(OSError), os.scandir(directory) as records:
        return next(records, None) is not None
    return False


def sample_tables(sample: Mapping[str, Any]) -> str:
    """Return ``sample`` as two tables: the host and its instances."""
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
        runners = [_runner(instance) for instance in sample["instances"]]
        text += "\n\n" + table(("RUNNER", "STATE", "CPU", "MEMORY"), runners)
    return text


def _runner(instance: Mapping[str, Any]) -> tuple[str, str, str, str]:
    state = "busy" if instance["busy"] else _truth(instance["unit_active"], "idle", "stopped")
    return instance["name"], state, _share(instance["cpu_percent"]), _size(instance["memory_bytes"])


def _pressure(sample: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_share(sample[f'psi_{name}_some_avg60'])}" for name in ("cpu", "memory", "io"))


def _both(sample: Mapping[str, Any], first: str, second: str, first_verb: str, second_verb: str) -> str:
    return f"{_size(sample[first])} {first_verb}, {_size(sample[second])} {second_verb}"


def _plain(value: Optional[float]) -> str:
    return _UNKNOWN if value is None else f"{value:g}"


def _share(value: Optional[float]) -> str:
    return _UNKNOWN if value is None else f"{value:.1f} %"


def _size(value: Optional[int]) -> str:
    return _UNKNOWN if value is None else size(value)


def _truth(value: Optional[bool], true: str, false: str) -> str:
    return _UNKNOWN if value is None else (true if value else false)
