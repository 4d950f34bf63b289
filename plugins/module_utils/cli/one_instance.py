"""What the commands about one instance have in common: which it is, who may touch it, and what is said."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import NamedTuple

from .. import systemd
from ..agent.paths import paths_of
from ..errors import CiError
from ..process import run
from ..runner.layout import Layout, instance_layout
from ..runner.naming import check_name, instance_unit
from .output import OK, put, put_json


class Subject(NamedTuple):
    """The instance that a command is about."""

    name: str
    layout: Layout

    @classmethod
    def of(cls, options: argparse.Namespace) -> Subject:
        """Return what ``options`` name, there or not; raises CiError without the right to touch it."""
        if os.geteuid() != 0:
            raise CiError("only root can stop and start instances; call it with sudo.")
        name = check_name(options.instance)
        return cls(name, instance_layout(options.runners, name))

    @property
    def unit(self) -> str:
        return instance_unit(self.name)

    def state(self) -> systemd.Unit:
        """Return what systemd says of it now."""
        return systemd.show(run, [self.unit])[self.unit]


def add_options(
    group: argparse.ArgumentParser, defaults: Mapping[str, str], timeout_help: str, timeout_seconds: float
) -> None:
    """Add the instance and the options of a command about it."""
    group.add_argument("instance", metavar="INSTANCE")
    group.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=timeout_seconds,
        help=f"{timeout_help} (default: {timeout_seconds:.0f})",
    )
    group.add_argument("--json", action="store_true", help="print JSON")
    group.add_argument(
        "--runners",
        default=paths_of(defaults).runners,
        help="directory of the instances",
    )


def subject(options: argparse.Namespace) -> Subject:
    """Return the instance; raises CiError when there is none, or no right to touch it."""
    one = Subject.of(options)
    if not os.path.isdir(one.layout.records):
        raise CiError(
            f"there is no instance '{one.name}' in {options.runners}; 'runnerctl heal --dry-run --json' "
            "lists them."
        )
    return one


def tell(options: argparse.Namespace, one: Subject, outcome: str, text: str) -> int:
    """Print what came of it, for a program or a person."""
    if options.json:
        put_json({"instance": one.name, "outcome": outcome})
    else:
        put(text)
    return OK
