"""``runnerctl drain``: an instance finishes its job and rests until somebody resumes it.

What the commands about one instance have in common: which it is, who may touch it, and what is said.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from typing import NamedTuple

from ...errors import CiError
from ...host import systemd
from ...host.paths import paths_of
from ...host.process import run
from ...runner.drain import claim
from ...runner.layout import Layout, check_name, instance_layout, instance_unit
from .output import ATTENTION, OK, put, put_json, say


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


DEFAULT_TIMEOUT_SECONDS = 1800.0
_FIRST_WORD_SECONDS = 2.0
_NEXT_WORD_SECONDS = 60.0


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the options of this command to its parser."""
    group.description = (
        "Waits until INSTANCE has no job, stops it and keeps it from starting at boot; healing leaves it "
        "alone. Its labels stay at GitHub, because this host has no credential: until it stops it may still "
        "get a job. 'runnerctl resume', or the next converge, lets it work again. Exit code 1 when a job "
        "lasted longer than the time-out; then nothing has changed."
    )
    add_options(group, defaults, "wait so long for a job", DEFAULT_TIMEOUT_SECONDS)
    group.set_defaults(perform=drain)


def drain(options: argparse.Namespace) -> int:
    """Let the instance finish, then stop and disable it."""
    from ...runner.account import Host
    from ...runner.drain import drain as perform

    one = subject(options)
    lock = claim(one.layout, one.name)
    next_word = _FIRST_WORD_SECONDS

    def waiting(seconds: float) -> None:
        nonlocal next_word
        if seconds >= next_word:
            next_word = seconds + _NEXT_WORD_SECONDS
            say(f"waiting {seconds:.0f} s for the job of {one.name} to end.")

    try:
        if not one.state().active and not one.state().enabled:
            return tell(options, one, "at_rest", f"{one.name} is at rest already")
        host = Host(run, time.sleep, time.monotonic)
        drained = perform(host, one.unit, one.layout, timeout_seconds=options.timeout, waiting=waiting)
        if not drained.stopped:
            text = f"{one.name} still runs a job after {drained.waited_seconds:.0f} s; nothing was changed"
            tell(options, one, "busy", text)
            return ATTENTION
        systemd.disable(run, one.unit)
    finally:
        lock.release()
    return tell(options, one, "drained", f"{one.name} is at rest; 'runnerctl resume {one.name}' ends that")
