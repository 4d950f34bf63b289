"""``runnerctl advice``: answer whether the host should take one more job now.

The advice, like the decision of ``runnerctl decide``, needs a sample: the sampler's latest, or a new one.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from typing import Any, Optional

from ...host.directories import read_json
from ...host.paths import Paths, paths_of
from .output import ATTENTION, OK, print_json, print_line

# The sampler writes every few seconds, so an older sample means that it stopped.
FRESH_SECONDS = 60


def add_runners_option(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the option for the directory that a new sample reads."""
    group.add_argument("--runners", default=paths_of(defaults).runners, help="directory of the instances")


def latest_sample(options: argparse.Namespace) -> dict[str, Any]:
    """Return the sampler's latest sample, or a new one if that is missing or old."""
    return _written(Paths(run=options.run).sample) or _taken(options)


def _written(path: str) -> Optional[dict[str, Any]]:
    sample = read_json(path)
    try:
        return sample if sample and abs(time.time() - os.stat(path).st_mtime) <= FRESH_SECONDS else None
    except OSError:
        return None


def _taken(options: argparse.Namespace) -> dict[str, Any]:
    from ...host.process import run
    from ...metrics.sample import Target, take_samples
    from ...metrics.sources import machine

    # These decisions use neither cache sizes nor the network, which take the most time.
    target = Target(base_dir=options.runners, store_dir="", models_dir="", rust_dirs=(), github_url="")
    return next(take_samples(target, machine(run), 1, 1.0))


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the options of the command to its parser."""
    group.description = (
        "Prints throttle above a load of 8 with more than one job, ready while there is room for one more "
        "job, else busy. Exit code: 0 for ready, 1 for the others."
    )
    group.add_argument("--json", action="store_true", help="print JSON")
    group.add_argument("--run", default=paths_of(defaults).run, help="directory of the latest sample")
    group.add_argument(
        "--max-concurrent", metavar="N", type=_count, help="most jobs at the same time (default: 3)"
    )
    add_runners_option(group, defaults)
    group.set_defaults(perform=advise)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 1000.")
    return int(text)


def advise(options: argparse.Namespace) -> int:
    """Print the advice."""
    from ...health.dispatch import MOST_CONCURRENT, READY, queue_advice

    sample = latest_sample(options)
    room = options.max_concurrent or MOST_CONCURRENT
    advice = queue_advice(sample, room)
    if options.json:
        known = {name: sample.get(name) for name in ("timestamp", "load_1m", "active_jobs")}
        print_json({"advice": advice, "max_concurrent": room, **known})
    else:
        print_line(advice)
    return OK if advice == READY else ATTENTION
