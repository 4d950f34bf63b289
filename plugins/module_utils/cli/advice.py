"""``runnerctl advice``: whether the host should take one more job now."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from ..agent.paths import paths_of
from .latest_sample import add_places, latest_sample
from .output import ATTENTION, OK, put, put_json


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the options of the command to its parser."""
    group.description = (
        "Says throttle above a load of 8 with more than one job, ready while there is room for one more job, "
        "else busy. Exit code: 0 for ready, 1 for the others."
    )
    group.add_argument("--json", action="store_true", help="print JSON")
    group.add_argument("--run", default=paths_of(defaults).run, help="directory of the latest sample")
    group.add_argument(
        "--max-concurrent", metavar="N", type=_count, help="so many jobs have room (default: 3)"
    )
    add_places(group, defaults)
    group.set_defaults(perform=advise)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 1000")
    return int(text)


def advise(options: argparse.Namespace) -> int:
    """Print the advice."""
    from ..dispatch import MOST_CONCURRENT, READY, queue_advice

    sample = latest_sample(options)
    room = options.max_concurrent or MOST_CONCURRENT
    advice = queue_advice(sample, room)
    if options.json:
        known = {name: sample.get(name) for name in ("timestamp", "load_1m", "active_jobs")}
        put_json({"advice": advice, "max_concurrent": room, **known})
    else:
        put(advice)
    return OK if advice == READY else ATTENTION
