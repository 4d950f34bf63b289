"""``runnerctl decide``: decide whether the next run of a job should be here."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping

from .advice import add_runners_option, latest_sample
from .history import add_shared_options, open_history
from .output import ATTENTION, OK, print_json, print_line, table

_PLACES = {"self_hosted": "here", "cloud": "in the cloud"}


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the options of the command to its parser."""
    group.description = (
        "Weighs the host's load, the history of JOB here and in the cloud, and the local hour. Exit code: 0 "
        "for this host, 1 for the cloud."
    )
    group.add_argument("job", metavar="JOB", help="name of the job; includes its matrix")
    add_shared_options(group, defaults)
    add_runners_option(group, defaults)
    group.set_defaults(perform=decide)


def decide(options: argparse.Namespace) -> int:
    """Print the decision with its reasons."""
    from ...health.dispatch import dispatch_decision, history_of

    with open_history(options) as history:
        sums = history.summaries(job=options.job)
    known = history_of(sums)
    decision = dispatch_decision(latest_sample(options), known, time.localtime().tm_hour)
    assumed = [kind for kind, values in known.items() if not values]
    if len(assumed) == len(known):
        decision["confidence"] = "LOW"
    if options.json:
        print_json({"job": options.job, "assumed": assumed, **decision})
    else:
        print_line(
            f"{decision['recommendation']} (score {decision['score']}, confidence {decision['confidence']})"
        )
        rows = [
            (factor["factor"], _value(factor["value"]), f"{factor['points']:+d}")
            for factor in decision["factors"]
        ]
        print_line(table(("FACTOR", "VALUE", "POINTS"), rows))
        if assumed:
            places = " and ".join(_PLACES[kind] for kind in assumed)
            print_line(f"No run of {options.job} is known {places}: the values are assumptions.")
    return OK if decision["score"] > 0 else ATTENTION


def _value(value: object) -> str:
    if isinstance(value, dict):
        return f"{value['self_hosted']:g} here, {value['cloud']:g} in the cloud"
    return "unknown" if value is None else f"{value:g}"
