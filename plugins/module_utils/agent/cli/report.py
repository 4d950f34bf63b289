"""``runnerctl report``: compare the last weeks of this machine with the goals."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .output import OK, log, plain, print_line

if TYPE_CHECKING:
    from ..report.figures import Figures

FORMATS = ("md", "html", "json")
DEFAULT_DAYS = 30


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the options of this command to its parser."""
    group.description = (
        "Jobs, health, caches and the price of the same jobs on hosted runners. The HTML is one page without "
        "external files."
    )
    group.add_argument("--format", choices=FORMATS, default="md", help="default: md")
    group.add_argument("--json", action="store_true", help="as --format json")
    group.add_argument("--output", metavar="FILE", help="write to FILE with one rename")
    group.add_argument("--days", metavar="N", type=_days, default=DEFAULT_DAYS, help="default: 30")
    group.add_argument(
        "--price-per-minute",
        metavar="USD",
        type=_price,
        help="price of the hosted runner (default: 0.006, Linux with 2 cores)",
    )
    group.set_defaults(perform=report, places=dict(defaults))


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 400:
        raise argparse.ArgumentTypeError(f"{text} is not a number of days from 1 to 400.")
    return int(text)


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = -1
    if not 0 <= price <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not a price from 0 to 1000.")
    return price


def report(options: argparse.Namespace) -> int:
    """Write the report."""
    from ..report.goals import Policy
    from ..report.read_report import read_figures

    policy = Policy()
    if options.price_per_minute is not None:
        policy = policy._replace(price_per_minute=options.price_per_minute)
    text = _text(
        read_figures(options.places, options.days, policy), "json" if options.json else options.format
    )
    if options.output is None:
        print_line(text.rstrip("\n"))
        return OK
    from ...host.durable import replace_file, storage_error

    try:
        replace_file(os.path.abspath(options.output), text, durable=False)
    except OSError as error:
        raise storage_error(f"writing the report to {options.output}", error) from error
    log(f"The report is in {options.output}")
    return OK


def _text(figures: Figures, wanted: str) -> str:
    if wanted == "html":
        from ..report.page import page

        return page(figures)
    if wanted == "md":
        from ..report.markdown import markdown

        return markdown(figures)
    import json

    return json.dumps(plain(figures), indent=2) + "\n"
