"""Registering a JIT instance for its next job from the host itself, without the controller.

The host keeps what the controller would give to the module github_runner, and a token, both for root alone.
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
from .converge import converge, pool_of, survey
from .drain import claim
from .layout import Layout, instance_layout, instance_unit
from .plan import Step
from .records import REGISTRATION, TREE, read_record
from .target import Means

NAME, TOKEN = "enrol.json", "enrol.token"
ENROLLED, WORKING, AT_REST = "enrolled", "working", "at_rest"
_POLL_SECONDS = 0.5
# As long as a unit may take to stop.
_PATIENCE_SECONDS = 330.0
# GitHub takes 500 requests that make something in an hour, and a runner may end as soon as it has started.
_PACE_SECONDS = 5.0


class Enrolment(NamedTuple):
    """What came of it: ENROLLED, or why nothing was to be done (WORKING, AT_REST)."""

    outcome: str
    runner_id: int = 0


WORKS = Enrolment(WORKING)


def read_settings(directory: str, name: str) -> Optional[dict[str, Any]]:
    """Return the module's parameters for the one instance ``name`` from ``enrol.json`` in ``directory``, None
    when it is not among those that are to be registered.

    Raises CiError when the file cannot be understood.
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
    return {**settings, "instances": instances} if instances else None


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
    layout = instance_layout(settings["base_dir"], name)
    if not os.path.isdir(layout.records):
        return Enrolment(AT_REST)
    _wait_until_settled(host, instance_unit(name))
    _keep_pace(host, layout)
    # Held while GitHub is asked: who drains or converges it meanwhile has the last word.
    lock = claim(layout, name)
    try:
        unit = systemd.show(host.run, [instance_unit(name)])[instance_unit(name)]
        if not unit.enabled:
            return Enrolment(AT_REST)
        if not is_over(unit):
            return WORKS
        return _enrolled(host, runners, _with_own_tree(settings, layout), lock)
    finally:
        lock.release()


def _enrolled(host: Host, runners: Runners, settings: Mapping[str, Any], lock: Flock) -> Enrolment:
    name = settings["instances"][0]["name"]
    found = runners.find([name])
    pool = pool_of({**settings, "registered": [asdict(one) for one in found.values()]})
    item = survey(pool, host)[0]
    if item.refusal:
        raise CiError(item.refusal)
    if Step.ENROL_JIT not in item.plan.steps:
        return WORKS
    if Step.LINK_TREE in item.plan.steps:
        raise CiError(f"The runner of '{name}' is not whole any more; converge this host.")
    made = runners.enrol_once(
        name,
        item.options["group"],
        item.jit_labels(pool.machine),
        item.options["work_dir"],
        found.get(name.lower()),
    )
    means = Means(jit={name: (made.runner.id, made.encoded)})
    troubles = converge([item], means, prepared=True, lock=lock)
    if troubles:
        raise CiError(troubles[name])
    return Enrolment(ENROLLED, made.runner.id)


def _with_own_tree(settings: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    """Return ``settings`` with the version that the instance has: another one is the controller's to try."""
    tree = str(read_record(layout, TREE).get("tree", ""))
    return {**settings, "archive": os.path.join(os.path.dirname(settings["archive"]), tree)}


def _keep_pace(host: Host, layout: Layout) -> None:
    """Wait until the last registration is some seconds old, whatever made its runner end so soon."""
    with contextlib.suppress(OSError):
        age = time.time() - os.stat(layout.record(REGISTRATION)).st_mtime
        host.sleep(min(max(_PACE_SECONDS - age, 0.0), _PACE_SECONDS))


def is_over(unit: systemd.Unit) -> bool:
    """Return whether ``unit`` has ended: it rests, or waits to be started again in vain."""
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
                f"{unit} has been '{seen.get('ActiveState')}' for {_PATIENCE_SECONDS:.0f} s; see 'systemctl "
                f"status {unit}'."
            )
        host.sleep(_POLL_SECONDS)
