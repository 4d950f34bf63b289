"""``runnerctl egress``: load the rules for what jobs can reach."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...errors import CiError
from ...host.paths import paths_of
from ...host.process import run
from .output import OK, log, print_json, print_line

if TYPE_CHECKING:
    from ..egress.load import Machine

_REQUEST_SECONDS = 20.0


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the commands of this group to its parser."""
    paths = paths_of(defaults)
    commands = group.add_subparsers(prog=group.prog, metavar="COMMAND", required=True)
    loading = commands.add_parser(
        "load",
        help="load the rules for all instances (coldvox-ci-egress.timer calls this)",
        description="Makes the rules from egress.json and the instances of this host, checks them with 'nft "
        "-c' and replaces the earlier ones in one transaction. An error leaves the earlier rules.",
    )
    loading.add_argument("--quiet", action="store_true", help="print only changes")
    loading.add_argument("--json", action="store_true", help="print JSON")
    loading.set_defaults(perform=load, paths=paths)


def load(options: argparse.Namespace) -> int:
    """Load the rules and print the policy of each instance."""
    from ..egress.load import load as perform

    if os.geteuid() != 0:
        raise CiError("Only root can load the egress rules; call it with sudo.")
    loaded = perform(options.paths, _machine())
    if loaded.unresolved:
        log(f"no address is known for {', '.join(loaded.unresolved)}, so jobs cannot reach that yet.")
    if options.json:
        print_json(loaded._asdict())
    elif loaded.changed or not options.quiet:
        policies = ", ".join(f"{name}: {policy}" for name, policy in sorted(loaded.policies.items()))
        print_line(
            f"egress rules {'loaded' if loaded.changed else 'as before'} ({policies or 'no instance'})"
        )
    return OK


def _machine() -> Machine:
    from ...github.transport import stdlib_transport
    from ..egress.addresses import resolve
    from ..egress.load import Machine as Made

    return Made(run, time.time, resolve, stdlib_transport(_REQUEST_SECONDS))
