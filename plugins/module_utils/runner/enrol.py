"""Registration of a JIT instance for its next job by the host itself.

The host does this without the controller. It keeps the module's parameters and a token; only root can read
both.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple, Optional

from ..errors import CiError
from ..github.runners import Runners
from ..host import systemd
from ..host.flock import Flock
from .account import Host
from .converge import converge, inspect_pool, pool_of
from .drain import claim
from .instance_records import REGISTRATION, TREE, read_record
from .layout import Layout, instance_layout, instance_unit
from .plan import Step
from .target import RegistrationSecrets

NAME, TOKEN = "enrol.json", "enrol.token"
ENROLLED, WORKING, AT_REST = "enrolled", "working", "at_rest"
_POLL_SECONDS = 0.5
# As long as a unit may take to stop.
_PATIENCE_SECONDS = 330.0
# GitHub accepts 500 requests that create something in an hour, and a runner may end as soon as it starts.
_PACE_SECONDS = 5.0


class Enrolment(NamedTuple):
    """The result: ENROLLED, or why there was nothing to do (WORKING, AT_REST)."""

    outcome: str
    runner_id: int = 0


def read_settings(directory: str, name: str) -> Optional[dict[str, Any]]:
    """Return the module's parameters for the instance ``name``, from ``enrol.json``.

    None if the host does not register this instance. Raises CiError for an unusable file.
    """
    path = os.path.join(directory, NAME)
    try:
        with open(path, encoding="utf-8") as file:
            settings = json.load(file)
        instances = [options for options in settings["instances"] if options["name"] == name]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CiError(
            f"File '{path}' does not say how to register runners ({error}); converge this host with "
            "github_runner_enrol_token set."
        ) from error
    return {**settings, "instances": instances} if instances else None


def read_token(directory: str) -> str:
    """Return the token in ``directory``; raises CiError without a token."""
    path = os.path.join(directory, TOKEN)
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CiError(
            f"The token in '{path}' cannot be read ({reason}); converge this host with "
            "github_runner_enrol_token set."
        ) from error


def enrol(host: Host, runners: Runners, settings: Mapping[str, Any]) -> Enrolment:
    """Register the instance in ``settings`` for its next job and start it.

    Does nothing while it runs a job. Raises CiError, with nothing started, if GitHub or the host refuses.
    """
    name = settings["instances"][0]["name"]
    layout = instance_layout(settings["base_dir"], name)
    if not os.path.isdir(layout.records):
        return Enrolment(AT_REST)
    _wait_until_settled(host, instance_unit(name))
    _keep_pace(host, layout)
    # Hold the lock during the requests to GitHub, so that no drain or converge comes between.
    lock = claim(layout, name)
    try:
        unit = systemd.show(host.run, [instance_unit(name)])[instance_unit(name)]
        if not unit.enabled:
            return Enrolment(AT_REST)
        if not is_over(unit):
            return Enrolment(WORKING)
        return _enrolled(host, runners, _with_own_tree(settings, layout), lock)
    finally:
        lock.release()


def _enrolled(host: Host, runners: Runners, settings: Mapping[str, Any], lock: Flock) -> Enrolment:
    name = settings["instances"][0]["name"]
    registered = runners.find([name])
    pool = pool_of({**settings, "registered": [asdict(runner) for runner in registered.values()]})
    item = inspect_pool(pool, host)[0]
    if item.refusal:
        raise CiError(item.refusal)
    if Step.ENROL_JIT not in item.plan.steps:
        return Enrolment(WORKING)
    if Step.LINK_TREE in item.plan.steps:
        raise CiError(f"The runner's files in instance '{name}' are incomplete; converge this host.")
    item.instance.announce()
    made = runners.register_for_one_job(
        name,
        item.options["group"],
        item.jit_labels(pool.machine),
        item.options["work_dir"],
        registered.get(name.lower()),
    )
    secrets = RegistrationSecrets(jit={name: (made.runner.id, made.encoded)})
    failures = converge([item], secrets, prepared=True, lock=lock)
    if failures:
        raise CiError(failures[name])
    return Enrolment(ENROLLED, made.runner.id)


def _with_own_tree(settings: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    """Return ``settings`` with the runner version that the instance has.

    Only the controller installs another version.
    """
    tree = str(read_record(layout, TREE).get("tree", ""))
    return {**settings, "archive": os.path.join(os.path.dirname(settings["archive"]), tree)}


def _keep_pace(host: Host, layout: Layout) -> None:
    """Wait until the last registration is some seconds old.

    A runner can end as soon as it has started.
    """
    with contextlib.suppress(OSError):
        age = time.time() - os.stat(layout.record(REGISTRATION)).st_mtime
        host.sleep(min(max(_PACE_SECONDS - age, 0.0), _PACE_SECONDS))


def is_over(unit: systemd.Unit) -> bool:
    """Return whether ``unit`` is inactive or waits for an automatic restart."""
    return not unit.active or unit.get("SubState", "").startswith("auto-restart")


def _wait_until_settled(host: Host, unit: str) -> None:
    """Wait until ``unit`` neither starts nor stops."""
    deadline = host.now() + _PATIENCE_SECONDS
    while True:
        seen = systemd.show(host.run, [unit])[unit]
        if seen.running or (is_over(seen) and seen.get("ActiveState") != "deactivating"):
            return
        if host.now() >= deadline:
            raise CiError(
                f"Unit {unit} has been '{seen.get('ActiveState')}' for {_PATIENCE_SECONDS:.0f} s; see "
                f"'systemctl status {unit}'."
            )
        host.sleep(_POLL_SECONDS)
