"""``runnerctl resume``: an instance that was drained works again."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping

from ...host import systemd
from ...host.process import run
from ...runner.drain import claim
from .drain import add_options, subject, tell
from .output import ATTENTION

DEFAULT_TIMEOUT_SECONDS = 60.0
_POLL_SECONDS = 0.5


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the options of this command to its parser."""
    group.description = (
        "Starts INSTANCE, now and at boot. Exit code 1 when it does not listen for jobs in time; it is left "
        "running then, and healing looks after it."
    )
    add_options(group, defaults, "wait so long until it listens", DEFAULT_TIMEOUT_SECONDS)
    group.set_defaults(perform=resume)


def resume(options: argparse.Namespace) -> int:
    """Enable and start the instance, and wait until its listener says that it listens."""
    from ..heal.look import said
    from ..heal.rules import SAID_LISTENING

    one = subject(options)
    lock = claim(one.layout, one.name)
    try:
        before = one.state()
        if before.running and before.enabled:
            return tell(options, one, "running", f"{one.name} runs already")
        if not before.enabled:
            systemd.enable(run, one.unit)
        systemd.start(run, one.unit)
    finally:
        lock.release()
    deadline = time.monotonic() + options.timeout
    while not one.state().running or said(run, one.name, this_start=True) != SAID_LISTENING:
        if time.monotonic() >= deadline:
            text = (
                f"{one.name} was started, but does not listen for jobs after {options.timeout:.0f} s; see "
                f"'journalctl -u {one.unit}'"
            )
            tell(options, one, "started", text)
            return ATTENTION
        time.sleep(_POLL_SECONDS)
    return tell(options, one, "resumed", f"{one.name} listens for jobs")
