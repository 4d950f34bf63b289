"""``runnerctl package``: what the role agent asks of the program after it has put a release in place."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping

from .output import OK, put, put_json


def add_commands(group: argparse.ArgumentParser, _defaults: Mapping[str, str]) -> None:
    """Add the commands of this group to its parser."""
    commands = group.add_subparsers(prog=group.prog, metavar="COMMAND", required=True)
    settling = commands.add_parser("settle", help="compile this release and remove old ones")
    settling.add_argument("--json", action="store_true", help="print JSON")
    settling.set_defaults(perform=settle)


def settle(options: argparse.Namespace) -> int:
    """Settle the release that this file belongs to."""
    from ..agent.release import settle as perform

    removed = perform(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))
    if options.json:
        put_json({"removed": removed})
    else:
        put(f"removed: {', '.join(removed) or 'nothing'}")
    return OK
