"""``runnerctl security``: who and what could take over this machine."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import CiError
from .output import ATTENTION, CRITICAL, OK, plain, print_json, print_line

if TYPE_CHECKING:
    from ..security.facts import Facts
    from ..security.judge import Check


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the options of this command to its parser."""
    group.description = (
        "Checks this host and prints one page of Markdown: faults with remedies, exposure of the units, "
        "accounts, ports, rules of sudo, setuid files. Searches all disks, so it takes seconds to minutes. "
        "Needs root. Exit codes: 0 no fault, 1 a fault, 2 a critical fault."
    )
    group.add_argument("--json", action="store_true", help="print JSON, with the page as one of its members")
    group.set_defaults(perform=security, places=dict(defaults))


def security(options: argparse.Namespace) -> int:
    """Print the report; the worst fault is the exit code."""
    from ...host.process import run
    from ..report.needs import CRITICAL as CRITICAL_LEVEL
    from ..security.judge import checks
    from ..security.page import page
    from ..security.read_facts import read_facts

    if os.geteuid() != 0:
        raise CiError("The security report reads files of root; call 'runnerctl security' as root.")
    facts = read_facts(options.places, run)
    judged = checks(facts)
    if options.json:
        print_json(document(facts, judged))
    else:
        print_line(page(facts, judged).rstrip("\n"))
    levels = {need.level for check in judged for need in check.faults or ()}
    return CRITICAL if CRITICAL_LEVEL in levels else ATTENTION if levels else OK


def document(facts: Facts, checks: Sequence[Check]) -> dict[str, Any]:
    """Return the report as data for JSON."""
    from ...host.clock import timestamp
    from ..security.page import page, summary

    return {
        **plain(facts),
        "now": timestamp(facts.now),
        "checks": plain(list(checks)),
        "summary": summary(checks),
        "page": page(facts, checks),
    }
