"""``runnerctl enrol``: register a JIT instance for its next job."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping

from ...host.paths import paths_of
from ...host.process import run
from .drain import NamedInstance, print_outcome

_REQUEST_SECONDS = 20.0


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the options of this command to its parser."""
    group.description = (
        "Empties INSTANCE's home and work directory, registers it for one more job and starts it. Does "
        "nothing while it runs, or when it was drained. The service coldvox-ci-enrol@INSTANCE calls this "
        "after each job."
    )
    group.add_argument("instance", metavar="INSTANCE")
    group.add_argument("--json", action="store_true", help="print JSON")
    paths = paths_of(defaults)
    group.add_argument("--config", default=paths.config, help="directory of enrol.json and enrol.token")
    group.add_argument("--runners", default=paths.runners, help="directory of the instances")
    group.set_defaults(perform=enrol)


def enrol(options: argparse.Namespace) -> int:
    """Register the instance for one more job, if it is idle."""
    from ...github.auth import bearer
    from ...github.client import Client, Patience
    from ...github.runners import Runners
    from ...github.scope import scope_of
    from ...github.transport import stdlib_transport
    from ...runner import enrol as enrolment
    from ...runner.account import Host

    instance = NamedInstance.of(options)
    settings = enrolment.read_settings(options.config, instance.name)
    if settings is None:
        text = f"{instance.name} is not registered from here"
        return print_outcome(options, instance, enrolment.AT_REST, text)
    scope = scope_of(settings["url"])
    client = Client(
        stdlib_transport(_REQUEST_SECONDS),
        scope,
        bearer(enrolment.read_token(options.config), scope),
        Patience(sleep=time.sleep, now=time.time),
    )
    host = Host(run, time.sleep, time.monotonic, unit_dir=settings["unit_dir"])
    done = enrolment.enrol(host, Runners(client), settings)
    texts = {
        enrolment.ENROLLED: f"{instance.name} is registered for one more job (id {done.runner_id})",
        enrolment.WORKING: f"{instance.name} needs no registration, because it runs",
        enrolment.AT_REST: f"{instance.name} is at rest; 'runnerctl resume {instance.name}' starts it again",
    }
    return print_outcome(options, instance, done.outcome, texts[done.outcome])
