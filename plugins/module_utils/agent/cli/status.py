"""``runnerctl status``: show problems, runners, jobs and health on one screen."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping

from ...errors import CiError
from ...host.paths import paths_of
from .output import plain, print_json, print_line

_WIDTH = 80  # without a terminal
_WIDEST = 120  # longer lines are hard to read


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the options of this command to its parser."""
    group.description = (
        "One screen: tasks for a person, runners, jobs of today, health, caches, disk. "
        "Exit codes: 0 ok, 1 something needs attention, 2 something is critical."
    )
    group.add_argument("--json", action="store_true", help="print JSON")
    group.add_argument(
        "--acknowledge",
        action="store_true",
        help="take note of the failed and slow jobs up to now, so that they need no person (as root)",
    )
    group.set_defaults(perform=status, places=dict(defaults))


def status(options: argparse.Namespace) -> int:
    """Print the status; its level is the exit code."""
    from ..report.read_status import read_facts
    from ..report.status_view import view

    if options.acknowledge:
        _acknowledge(paths_of(options.places).state)
    shown = view(read_facts(options.places))
    if options.json:
        print_json(plain(shown))
    else:
        from ..report.status_text import render

        print_line(render(shown, has_colour(), terminal_width()))
    return shown.exit_code


def _acknowledge(state_dir: str) -> None:
    from ...host.durable import replace_file
    from ..report.read_status import acknowledgement

    try:
        replace_file(acknowledgement(state_dir), "")
    except OSError as error:
        raise CiError(
            f"The acknowledgement cannot be written ({error.strerror}); call it with sudo, on a converged "
            "host."
        ) from error


def has_colour() -> bool:
    """Return whether the terminal has colours and NO_COLOR (no-color.org) is unset."""
    dull = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not dull


def terminal_width() -> int:
    """Return the columns of the terminal, _WIDTH in a pipe."""
    try:
        return min(os.get_terminal_size(sys.stdout.fileno()).columns or _WIDTH, _WIDEST)
    except OSError:
        return _WIDTH
