"""``runnerctl metrics``: what the machine does at the moment, and did."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..agent.config import read_config
from ..agent.paths import Paths, paths_of, target_of
from .output import ATTENTION, OK, put, put_json, say

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
    from ..metrics import csv_log
    from ..metrics.sample import take_samples

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
    from ..metrics.sampler import fresh_sample
    from ..metrics.sources import machine
    from ..process import run

    sources = machine(run)
    known = fresh_sample(paths, _SIZES_MAX_AGE_SECONDS, time.time()) or {}
    rust_bytes = known.get("rust_cache_bytes")
    if isinstance(rust_bytes, int):
        sources = sources._replace(tree_bytes=lambda _roots: rust_bytes)
    return target_of(paths, read_config(paths.config)), sources


def _print(options: argparse.Namespace, taken: dict[str, Any]) -> None:
    from ..metrics.table import lines

    if options.json:
        put_json(taken)
        return
    put(lines(taken))
    if taken["unavailable"]:
        say(f"not known here: {', '.join(taken['unavailable'])}")


def watch(options: argparse.Namespace) -> int:
    """Print a sample every interval: in place on a terminal, one below the other elsewhere."""
    import json

    from ..metrics.probe import reachable
    from ..metrics.sample import FIRST_WINDOW_SECONDS, Series
    from ..metrics.sources import resident
    from ..metrics.table import lines
    from ..process import run

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
    from ..metrics import csv_log
    from ..metrics.report import rendered, summarize

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
    from ..agent.assess import last_probe
    from ..health_policy import merged_policy
    from ..metrics.sample import Series
    from ..metrics.sampler import Journal, Sampler
    from ..metrics.sampler import serve as serve_samples
    from ..metrics.sources import resident
    from ..process import run
    from ..sd_notify import Notifier

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
