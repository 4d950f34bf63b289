"""Registering a JIT instance for its next job from the host itself, without the controller.

The host keeps what the controller would give to the module github_runner, and a token, both for root alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from .. import systemd
from ..errors import CiError
from ..github.runners import Runners
from .converge import converge, pool_of, survey
from .host import Host
from .naming import instance_unit
from .plan import Step
from .target import Means

NAME, TOKEN = "enrol.json", "enrol.token"
ENROLLED, WORKING, AT_REST = "enrolled", "working", "at_rest"
_POLL_SECONDS = 0.5
# As long as a unit may take to stop.
_PATIENCE_SECONDS = 330.0


class Enrolment(NamedTuple):
    """What came of it: ENROLLED, or why nothing was to be done (WORKING, AT_REST)."""

    outcome: str
    runner_id: int = 0


def read_settings(directory: str, name: str) -> dict[str, Any]:
    """Return the module's parameters for the one instance ``name`` from ``enrol.json`` in ``directory``.

    Raises CiError without them.
    """
    path = os.path.join(directory, NAME)
    try:
        with open(path, encoding="utf-8") as file:
            settings = json.load(file)
        instances = [one for one in settings["instances"] if one["name"] == name]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CiError(
            f"{path} does not tell how to register runners ({error}); converge this host with "
            "github_runner_enrol_token set."
        ) from error
    if not instances:
        raise CiError(f"'{name}' is not among the JIT instances in {path}; converge this host.")
    return {**settings, "instances": instances}


def read_token(directory: str) -> str:
    """Return the token in ``directory``; raises CiError without one."""
    path = os.path.join(directory, TOKEN)
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CiError(
            f"the token in {path} cannot be read ({reason}); converge this host with "
            "github_runner_enrol_token set."
        ) from error


def enrol(host: Host, runners: Runners, settings: Mapping[str, Any]) -> Enrolment:
    """Register the instance in ``settings`` for one more job and start it, when its last job is over.

    Raises CiError when GitHub or the host refuses; then nothing has been started.
    """
    name = settings["instances"][0]["name"]
    unit = _settled(host, instance_unit(name))
    if not unit.enabled:
        return Enrolment(AT_REST)
    if not is_over(unit):
        return Enrolment(WORKING)
    found = runners.find([name])
    pool = pool_of({**settings, "registered": [asdict(one) for one in found.values()]})
    item = survey(pool, host)[0]
    if item.refusal:
        raise CiError(item.refusal)
    if Step.ENROL_JIT not in item.plan.steps:
        return Enrolment(WORKING)
    made = runners.enrol_once(
        name,
        item.options["group"],
        item.jit_labels(pool.machine),
        item.options["work_dir"],
        found.get(name.lower()),
    )
    troubles = converge([item], Means(jit={name: (made.runner.id, made.encoded)}), prepared=True)
    if troubles:
        raise CiError(troubles[name])
    return Enrolment(ENROLLED, made.runner.id)


def is_over(unit: systemd.Unit) -> bool:
    """Return whether ``unit`` has ended: it rests, or waits to be started again in vain."""
    return not unit.active or unit.get("SubState", "").startswith("auto-restart")


def _settled(host: Host, unit: str) -> systemd.Unit:
    """Return ``unit`` as soon as it neither starts nor stops."""
    deadline = host.now() + _PATIENCE_SECONDS
    while True:
        seen = systemd.show(host.run, [unit])[unit]
        if seen.running or (is_over(seen) and seen.get("ActiveState") != "deactivating"):
            return seen
        if host.now() >= deadline:
            raise CiError(
                f"{unit} has been '{seen.get('ActiveState')}' for {_PATIENCE_SECONDS:.0f} s; see 'systemctl "
                f"status {unit}'."
            )
        host.sleep(_POLL_SECONDS)
