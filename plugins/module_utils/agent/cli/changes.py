"""``runnerctl changes``: who changed what on this machine, by the kernel's audit."""

from __future__ import annotations

import argparse
import pwd
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .output import ATTENTION, OK, log, print_json, print_line, table

if TYPE_CHECKING:
    from ..changes import Change

_DEFAULT = "7d"
_MOST_FILES = 3


def add_commands(group: argparse.ArgumentParser, _defaults: Mapping[str, str]) -> None:
    """Add the options of this command to its parser."""
    from .history import since

    group.description = (
        "Lists the changes that the audit rules of the role hardening recorded: when, who, which files, by "
        "which program. Needs root. Exit code 1 when changes are not recorded now."
    )
    group.add_argument("--json", action="store_true", help="print JSON")
    group.add_argument(
        "--since", metavar="TIME", type=since, default=_DEFAULT, help=f"as in 24h, 7d (default: {_DEFAULT})"
    )
    group.set_defaults(perform=show)


def show(options: argparse.Namespace) -> int:
    """Print the changes."""
    from ...host.process import run
    from ..changes import read, shown, unrecorded

    changes = read(run, options.since, _name_of)
    warning = unrecorded(run)
    if options.json:
        print_json({"changes": [shown(change) for change in changes], "unrecorded": warning})
    elif changes:
        heads = ("TIME", "WHO", "TOPIC", "FILES", "PROGRAM")
        print_line(table(heads, [_row(change) for change in changes]))
    else:
        print_line("No change is recorded in this time.")
    if warning:
        log(warning)
    return ATTENTION if warning else OK


def _row(change: Change) -> tuple[str, ...]:
    files = ", ".join(change.files[:_MOST_FILES])
    more = len(change.files) - _MOST_FILES
    return (
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(change.at)),
        _who(change),
        change.topic,
        f"{files} and {more} more" if more > 0 else files,
        change.command or change.program,
    )


def _who(change: Change) -> str:
    """Return the person who logged in, and the account if it is another."""
    if not change.login:
        return f"{change.account} (no login)"
    return change.login if change.login == change.account else f"{change.login} as {change.account}"


def _name_of(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
