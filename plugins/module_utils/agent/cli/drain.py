"""``runnerctl drain``: stop an instance after its job, until a person resumes it.

The functions on top are shared by the commands for one instance: drain, resume and enrol.
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
from .output import ATTENTION, OK, log, print_json, print_line, require_root

DEFAULT_TIMEOUT_SECONDS = 1800.0
_FIRST_MESSAGE_SECONDS = 2.0
_NEXT_MESSAGE_SECONDS = 60.0


class NamedInstance(NamedTuple):
    """The instance that a call names."""

    name: str
    layout: Layout

    @classmethod
    def of(cls, options: argparse.Namespace) -> NamedInstance:
        """Return the instance, there or not; raises CiError for users other than root."""
        require_root("stop and start instances")
        name = check_name(options.instance)
        return cls(name, instance_layout(options.runners, name))

    @property
    def unit(self) -> str:
        return instance_unit(self.name)

    def state(self) -> systemd.Unit:
        """Return the present state of its unit."""
        return systemd.show(run, [self.unit])[self.unit]


def add_options(
    group: argparse.ArgumentParser, defaults: Mapping[str, str], timeout_help: str, timeout_seconds: float
) -> None:
    """Add the options that drain and resume share."""
    group.add_argument("instance", metavar="INSTANCE")
    group.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=timeout_seconds,
        help=f"{timeout_help} (default: {timeout_seconds:.0f})",
    )
    group.add_argument("--json", action="store_true", help="print JSON")
    group.add_argument("--runners", default=paths_of(defaults).runners, help="directory of the instances")


def existing_instance(options: argparse.Namespace) -> NamedInstance:
    """Return the instance; raises CiError if it is missing, or for other users."""
    instance = NamedInstance.of(options)
    if not os.path.isdir(instance.layout.records):
        raise CiError(
            f"There is no instance '{instance.name}' in {options.runners}; 'runnerctl status' lists them."
        )
    return instance


def print_outcome(options: argparse.Namespace, instance: NamedInstance, outcome: str, text: str) -> int:
    """Print ``outcome`` for a program or ``text`` for a person; return OK."""
    if options.json:
        print_json({"instance": instance.name, "outcome": outcome})
    else:
        print_line(text)
    return OK


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the options of this command to its parser."""
    group.description = (
        "Waits until INSTANCE has no job, stops it and disables it at boot. Healing leaves it alone. This "
        "host has no credential, so its labels stay at GitHub, and it may still get a job until it stops. "
        "'runnerctl resume' or the next converge starts it again. Exit code 1 when a job lasted longer than "
        "the time-out; then nothing has changed."
    )
    add_options(group, defaults, "longest wait for a job", DEFAULT_TIMEOUT_SECONDS)
    group.set_defaults(perform=drain)


def drain(options: argparse.Namespace) -> int:
    """Wait for the instance's job, then stop and disable its unit."""
    from ...runner.account import Host
    from ...runner.drain import drain as perform

    instance = existing_instance(options)
    lock = claim(instance.layout, instance.name)
    next_message = _FIRST_MESSAGE_SECONDS

    def waiting(seconds: float) -> None:
        nonlocal next_message
        if seconds >= next_message:
            next_message = seconds + _NEXT_MESSAGE_SECONDS
            log(f"waiting {seconds:.0f} s for the job of {instance.name} to end.")

    try:
        state = instance.state()
        if not state.active and not state.enabled:
            return print_outcome(options, instance, "at_rest", f"{instance.name} is at rest already")
        host = Host(run, time.sleep, time.monotonic)
        drained = perform(
            host, instance.unit, instance.layout, timeout_seconds=options.timeout, waiting=waiting
        )
        if not drained.stopped:
            waited = f"{drained.waited_seconds:.0f} s"
            text = f"{instance.name} still runs a job after {waited}; nothing was changed"
            print_outcome(options, instance, "busy", text)
            return ATTENTION
        systemd.disable(run, instance.unit)
    finally:
        lock.release()
    text = f"{instance.name} is at rest; 'runnerctl resume {instance.name}' starts it again"
    return print_outcome(options, instance, "drained", text)
