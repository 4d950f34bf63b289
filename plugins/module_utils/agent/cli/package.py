"""``runnerctl package``: what the role agent asks of the program after it has put a release in place."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping

from ...errors import CiError
from ...host.paths import paths_of
from .output import OK, put, put_json


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the commands of this group to its parser."""
    commands = group.add_subparsers(prog=group.prog, metavar="COMMAND", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON")
    settling = commands.add_parser(
        "settle", parents=[shared], help="compile this release and remove old ones"
    )
    settling.set_defaults(perform=settle)
    moving = commands.add_parser(
        "carry-over", parents=[shared], help="move the job history of an earlier version to its directory"
    )
    moving.set_defaults(perform=carry_over, paths=paths_of(defaults))


def settle(options: argparse.Namespace) -> int:
    """Settle the release that this file belongs to."""
    from ..release import settle as perform

    removed = perform(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))
    if options.json:
        put_json({"removed": removed})
    else:
        put(f"removed: {', '.join(removed) or 'nothing'}")
    return OK


def carry_over(options: argparse.Namespace) -> int:
    """Bring what an earlier version left to where it belongs now."""
    from ..carry_over import carry_over as perform

    try:
        moved = perform(options.paths)
    except (KeyError, OSError) as error:
        raise CiError(
            f"the job history in {options.paths.state} cannot be moved to its directory ({error}); converge "
            "the host with the role agent, as root."
        ) from error
    if options.json:
        put_json({"moved": moved})
    else:
        put(f"moved: {', '.join(moved) or 'nothing'}")
    return OK
