"""``runnerctl resume``: start a drained instance again."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping

from ...host import systemd
from ...host.process import run
from ...runner.drain import claim
from .drain import add_options, existing_instance, print_outcome
from .output import ATTENTION

DEFAULT_TIMEOUT_SECONDS = 60.0
_POLL_SECONDS = 0.5


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the options of this command to its parser."""
    group.description = (
        "Starts INSTANCE, now and at boot. Exit code 1 when it does not listen for jobs in time. It keeps "
        "running then, and healing looks after it."
    )
    add_options(group, defaults, "longest wait until it listens", DEFAULT_TIMEOUT_SECONDS)
    group.set_defaults(perform=resume)


def resume(options: argparse.Namespace) -> int:
    """Enable and start the instance, and wait until its listener listens for jobs."""
    from ..heal.look import last_message
    from ..heal.rules import MESSAGE_LISTENING

    instance = existing_instance(options)
    lock = claim(instance.layout, instance.name)
    try:
        before = instance.state()
        if before.running and before.enabled:
            return print_outcome(options, instance, "running", f"{instance.name} runs already")
        if not before.enabled:
            systemd.enable(run, instance.unit)
        systemd.start(run, instance.unit)
    finally:
        lock.release()
    deadline = time.monotonic() + options.timeout
    while (
        not instance.state().running or last_message(run, instance.name, this_start=True) != MESSAGE_LISTENING
    ):
        if time.monotonic() >= deadline:
            text = (
                f"{instance.name} was started, but does not listen for jobs after {options.timeout:.0f} s; "
                f"see 'journalctl -u {instance.unit}'"
            )
            print_outcome(options, instance, "started", text)
            return ATTENTION
        time.sleep(_POLL_SECONDS)
    return print_outcome(options, instance, "resumed", f"{instance.name} listens for jobs")
