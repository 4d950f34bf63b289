"""``runnerctl package``: maintain the installed releases, for the role agent."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from .output import OK, print_json, print_line


def add_commands(group: argparse.ArgumentParser, _defaults: Mapping[str, str]) -> None:
    """Add the commands of this group to its parser."""
    commands = group.add_subparsers(prog=group.prog, metavar="COMMAND", required=True)
    settling = commands.add_parser("settle", help="compile this release and remove old releases")
    settling.add_argument("--json", action="store_true", help="print JSON")
    settling.set_defaults(perform=settle)


def settle(options: argparse.Namespace) -> int:
    """Compile the release of this file, and remove old releases."""
    from ..release import settle as perform

    removed = perform(str(Path(__file__).resolve().parents[3]))
    if options.json:
        print_json({"removed": removed})
    else:
        print_line(f"removed: {', '.join(removed) or 'nothing'}")
    return OK
