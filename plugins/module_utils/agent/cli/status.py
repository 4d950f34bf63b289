"""``runnerctl status``: is this machine all right, what is it doing, what did it do today."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping

from .output import plain, put, put_json

_WIDTH = 80  # where nobody says how wide the terminal is
_WIDEST = 120  # beyond that a line is hard to follow


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Make the group itself the command."""
    group.description = (
        "One screen: what needs a person, what the runners do, jobs of today, health, caches, disk. "
        "Exit codes: 0 ok, 1 something needs attention, 2 something is critical."
    )
    group.add_argument("--json", action="store_true", help="print JSON")
    group.set_defaults(perform=status, places=dict(defaults))


def status(options: argparse.Namespace) -> int:
    """Print the status; its level is the exit code."""
    from ..report.read_status import read_facts
    from ..report.status_view import view

    seen = view(read_facts(options.places))
    if options.json:
        put_json(plain(seen))
    else:
        from ..report.status_text import render

        put(render(seen, has_colour(), terminal_width()))
    return seen.exit_code


def has_colour() -> bool:
    """Tell whether colours are wanted: on a terminal that has some, unless NO_COLOR (no-color.org) is set."""
    dull = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not dull


def terminal_width() -> int:
    """Return the columns of the terminal, _WIDTH in a pipe."""
    try:
        return min(os.get_terminal_size(sys.stdout.fileno()).columns or _WIDTH, _WIDEST)
    except OSError:
        return _WIDTH
