"""A pool on its host: inspect the instances, plan, and carry out each plan.

The module github_runner calls, in this order: pool_of(), inspect_pool(), converge(), diff().
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..errors import CiError
from ..host import systemd
from ..host.flock import Flock
from .account import Host, has_account
from .instance import Instance
from .instance_records import converged_path, root_file, write
from .layout import instance_layout, instance_unit
from .options import check_architecture, hook_paths, hooks_refusal, normal_instances, system_labels
from .plan import UNCHANGED, Local, Plan, Remote, Wanted, plan
from .target import RegistrationSecrets, Target, target_of
from .tree import tree_identity


@dataclass(frozen=True)
class Pool:
    """The module's options in normal form.

    ``registered`` is GitHub's view by lower-case name; ``machine`` is the architecture as uname gives it.
    """

    url: str
    instances: Sequence[Mapping[str, Any]]
    base_dir: str
    archive: str
    replace: str
    registered: Mapping[str, Remote]
    machine: str


@dataclass(frozen=True)
class PlannedInstance:
    """An instance: its wanted state, its state on the host and at GitHub, its plan.

    ``refusal`` says why the wanted state is impossible; it is empty if it is possible.
    """

    options: Mapping[str, Any]
    target: Target
    instance: Instance
    local: Local
    remote: Optional[Remote]
    plan: Plan
    refusal: str = ""

    def answer(self, machine: str, failure: str = "") -> dict[str, Any]:
        """Return the module's result for this instance; ``failure`` replaces the outcome."""
        failure = failure or self.refusal
        return {
            "name": self.options["name"],
            "state": self.options["state"],
            "outcome": "failed" if failure else self.plan.outcome,
            "steps": [step.value for step in self.plan.steps],
            "reason": failure or self.plan.reason,
            "unit": self.target.unit,
            "user": self.target.user,
            "controller": {
                "deferred": self.plan.deferred,
                "ephemeral": self.target.registration.ephemeral,
                "wanted_labels": list(self.target.labels),
                "jit_labels": self.jit_labels(machine),
                **self.instance.tree_facts(self.local),
            },
        }

    def jit_labels(self, machine: str) -> list[str]:
        """Return all labels: GitHub adds no default labels to a runner that the API makes."""
        own = system_labels(machine) if self.options["default_labels"] else ()
        return [*own, *self.target.labels]


def pool_of(params: Mapping[str, Any]) -> Pool:
    """Return the wanted pool for the parameters of the module github_runner."""
    return Pool(
        url=params["url"] or "",
        instances=normal_instances(params),
        base_dir=params["base_dir"],
        archive=params["archive"] or "",
        replace=params["replace"],
        registered={
            runner["name"].lower(): Remote(
                int(runner["id"]), runner["status"] == "online", tuple(runner["custom_labels"])
            )
            for runner in params["registered"]
        },
        machine=platform.machine(),
    )


def inspect_pool(pool: Pool, host: Host, *, predict: bool = False) -> list[PlannedInstance]:
    """Read the state of every instance and plan its steps, without any change.

    To ``predict`` does not need the job hooks, which an earlier task may bring. Raises CiError for an error
    that concerns the whole pool.
    """
    if not pool.archive and any(options["state"] == "present" for options in pool.instances):
        raise CiError(
            "The option archive is missing; give the path of the unpacked runner, as coldvox.ci.artifact "
            "returns it."
        )
    tree_id = tree_identity(pool.archive) if pool.archive else ""
    units = systemd.show(host.run, [instance_unit(options["name"]) for options in pool.instances])
    items = [_inspect(pool, host, options, tree_id, units) for options in pool.instances]
    return items if predict else [_with_hooks(item) for item in items]


def _with_hooks(item: PlannedInstance) -> PlannedInstance:
    """Return ``item``, refused if a job hook of the instance is not there."""
    options = item.options
    lost = [path for path in hook_paths(options["environment"]) if not os.path.isfile(path)]
    if options["state"] != "present" or item.refusal or not lost:
        return item
    return dataclasses.replace(item, plan=UNCHANGED, refusal=hooks_refusal(options["name"], lost))


def _inspect(
    pool: Pool, host: Host, options: Mapping[str, Any], tree_id: str, units: Mapping[str, systemd.Unit]
) -> PlannedInstance:
    check_architecture(options["labels"], pool.machine)
    layout = instance_layout(pool.base_dir, options["name"])
    target = target_of(options, url=pool.url, layout=layout, tree=pool.archive, tree_id=tree_id)
    instance = Instance(host, target)
    local = instance.read(units[target.unit])
    remote = pool.registered.get(options["name"].lower())
    wanted = Wanted(
        name=options["name"],
        state=options["state"],
        fingerprint=target.registration.fingerprint,
        tree=target.tree_id,
        start_digest=instance.start_digest,
        labels=target.labels,
        replace=pool.replace,
        ephemeral=options["ephemeral"],
        jit=options["jit"],
    )
    try:
        _check_account(options, target, local)
        return PlannedInstance(options, target, instance, local, remote, plan(wanted, local, remote))
    except CiError as error:
        return PlannedInstance(options, target, instance, local, remote, UNCHANGED, refusal=str(error))


def _check_account(options: Mapping[str, Any], target: Target, local: Local) -> None:
    """Raise CiError if the account is gone.

    Systemd would try to start the unit for ever.
    """
    if options["state"] == "present" and local.agent_id is not None and not has_account(target.user):
        raise CiError(
            f"Account '{target.user}' of runner '{options['name']}' was deleted on this host, so its files "
            "have no owner; converge once with state=absent for this instance, then again with it present."
        )


def note_converge(pool: Pool, items: Sequence[PlannedInstance], *, prepared: bool) -> None:
    """Record the time of this converge if it is complete, until the pool is removed."""
    path = converged_path(pool.base_dir)
    if not items or (not prepared and any(item.plan.deferred for item in items)):
        return
    with contextlib.suppress(OSError):
        if all(options["state"] == "absent" for options in pool.instances):
            os.unlink(path)
        elif os.path.isfile(path):
            os.utime(path)
        elif os.path.isdir(pool.base_dir):
            write(root_file(path, ""))


def _announce(items: Sequence[PlannedInstance]) -> None:
    """Record on the host which instances are about to be registered."""
    for item in items:
        if item.plan.registers:
            # Without its account an instance fails later, with a message of its own.
            with contextlib.suppress(CiError):
                item.instance.announce()


def converge(
    items: Sequence[PlannedInstance],
    secrets: RegistrationSecrets,
    *,
    prepared: bool,
    lock: Optional[Flock] = None,
) -> dict[str, str]:
    """Do the plans and return the error messages by name.

    ``prepared`` says that the controller has done its part. Without it, skip the plans that need it. An
    instance that fails does not stop the others. ``lock`` is the lock of the only instance, if the caller
    already holds it.
    """
    if not prepared:
        _announce(items)
    failures: dict[str, str] = {}
    for item in items:
        failure = item.refusal
        if item.plan.steps and (prepared or not item.plan.deferred):
            failure = _apply(item, secrets, lock)
        if failure:
            failures[item.options["name"]] = failure
    return failures


def _apply(item: PlannedInstance, secrets: RegistrationSecrets, lock: Optional[Flock]) -> str:
    """Do one plan and return the error message, or an empty text."""
    known = item.remote is not None
    try:
        item.instance.apply(item.plan.steps, item.local, secrets, replace=known, lock=lock)
    except CiError as error:
        return str(error)
    except OSError as error:
        place = error.filename or item.target.layout.root
        return (
            f"Runner '{item.options['name']}' failed at '{place}': {error.strerror}; correct that, run again."
        )
    return ""


def diff(items: Sequence[PlannedInstance]) -> list[dict[str, str]]:
    """Return the differences per instance, in Ansible's form for diff mode."""
    return [
        {
            "before_header": f"runner {item.options['name']}",
            "after_header": f"runner {item.options['name']} ({item.plan.outcome})",
            "before": _shown(item, after=False),
            "after": _shown(item, after=True),
        }
        for item in items
        if item.plan.steps
    ]


def _shown(item: PlannedInstance, *, after: bool) -> str:
    if after and item.plan.outcome == "removed":
        return ""
    if not after and not item.local.exists:
        return ""
    labels: Sequence[str] = item.target.labels if after else item.remote.labels if item.remote else ()
    if after and item.options["state"] == "drained":
        labels = ()
    tree = item.target.tree_id if after else item.local.tree
    fingerprint = item.target.registration.fingerprint if after else item.local.fingerprint
    return f"labels: {', '.join(sorted(labels))}\ntree: {tree}\nregistration: {fingerprint}\n"
