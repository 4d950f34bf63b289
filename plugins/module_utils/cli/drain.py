"""``runnerctl drain``: an instance finishes its job and rests until somebody resumes it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping

from .. import systemd
from ..process import run
from ..runner.claim import claim
from .one_instance import add_options, subject, tell
from .output import ATTENTION, say

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
    from ..runner.drain import drain as perform
    from ..runner.host import Host

    one = subject(options)
    lock = claim(one.layout, one.name, "draining")
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
