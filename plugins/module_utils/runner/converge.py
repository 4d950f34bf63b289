"""A pool of instances brought to its wanted state on the host, one instance after the other."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..errors import CiError
from ..host import systemd
from ..host.flock import Flock
from .account import Host, has_account
from .instance import Instance
from .layout import instance_layout, instance_unit
from .options import check_architecture, normal_instances, system_labels
from .plan import UNCHANGED, Local, Plan, Remote, Wanted, plan
from .target import RegistrationSecrets, Target, target_of
from .tree import tree_identity


@dataclass(frozen=True)
class Pool:
    """The module's options in normal form. ``registered`` is GitHub's view, by lower-case name."""

    url: str
    instances: Sequence[Mapping[str, Any]]
    base_dir: str
    archive: str
    replace: str
    registered: Mapping[str, Remote]
    machine: str


@dataclass(frozen=True)
class PlannedInstance:
    """One instance with all that was found out about it; ``refusal`` says why it cannot be what is wanted."""

    options: Mapping[str, Any]
    target: Target
    instance: Instance
    local: Local
    remote: Optional[Remote]
    plan: Plan
    refusal: str = ""

    def answer(self, machine: str, failure: str = "") -> dict[str, Any]:
        """What the controller and the user get to know; ``failure`` is what became of it instead."""
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
        """Return all labels: none comes by itself to a runner that the API makes."""
        own = system_labels(machine) if self.options["default_labels"] else ()
        return [*own, *self.target.labels]


def pool_of(params: Mapping[str, Any]) -> Pool:
    """Return the wanted pool that the parameters of the module github_runner describe, for this machine."""
    return Pool(
        url=params["url"] or "",
        instances=normal_instances(params),
        base_dir=params["base_dir"],
        archive=params["archive"] or "",
        replace=params["replace"],
        registered={
            one["name"].lower(): Remote(
                int(one["id"]), one["status"] == "online", tuple(one["custom_labels"])
            )
            for one in params["registered"]
        },
        machine=platform.machine(),
    )


def inspect_pool(pool: Pool, host: Host) -> list[PlannedInstance]:
    """Find out and decide, without changing anything; raises CiError when nothing can be said at all."""
    if not pool.archive and any(options["state"] == "present" for options in pool.instances):
        raise CiError(
            "archive is missing; give the path of the unpacked runner, as coldvox.ci.artifact returns it."
        )
    tree_id = tree_identity(pool.archive) if pool.archive else ""
    units = systemd.show(host.run, [instance_unit(options["name"]) for options in pool.instances])
    return [_item(pool, host, options, tree_id, units) for options in pool.instances]


def converge(
    items: Sequence[PlannedInstance],
    secrets: RegistrationSecrets,
    *,
    prepared: bool,
    lock: Optional[Flock] = None,
) -> dict[str, str]:
    """Do the plans, those in which the controller has a part only when that is ``prepared``.

    One instance that fails does not stop the others; returns what went wrong by name. ``lock`` is that of the
    only instance where the caller has it already.
    """
    failures: dict[str, str] = {}
    for item in items:
        failure = item.refusal
        if item.plan.steps and (prepared or not item.plan.deferred):
            failure = _apply(item, secrets, lock)
        if failure:
            failures[item.options["name"]] = failure
    return failures


def _apply(item: PlannedInstance, secrets: RegistrationSecrets, lock: Optional[Flock]) -> str:
    """Do one plan and return what went wrong, or an empty text."""
    known = item.remote is not None
    try:
        item.instance.apply(item.plan.steps, item.local, secrets, replace=known, lock=lock)
    except CiError as error:
        return str(error)
    except OSError as error:
        place = error.filename or item.target.layout.root
        return f"Runner '{item.options['name']}' failed at '{place}': {error.strerror}."
    return ""


def diff(items: Sequence[PlannedInstance]) -> list[dict[str, str]]:
    """Return what changes per instance, as Ansible shows differences: environment, labels, and what is
    done.
    """
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


def _item(
    pool: Pool, host: Host, options: Mapping[str, Any], tree_id: str, units: Mapping[str, systemd.Unit]
) -> PlannedInstance:
    check_architecture(options["labels"], pool.machine)
    layout = instance_layout(pool.base_dir, options["name"])
    target = target_of(dict(options), url=pool.url, layout=layout, tree=pool.archive, tree_id=tree_id)
    instance = Instance(host, target)
    local = instance.read(units[target.unit])
    remote = pool.registered.get(options["name"].lower())
    wanted = Wanted(
        name=options["name"],
        state=options["state"],
        fingerprint=target.registration.fingerprint,
        tree=tree_id,
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
    """Raise CiError for an account that is gone; systemd would try for ever to start it as nobody."""
    if options["state"] == "present" and local.agent_id is not None and not has_account(target.user):
        raise CiError(
            f"Account '{target.user}' of runner '{options['name']}' was deleted on this host, so its files "
            "belong to nobody; converge once with state=absent for this instance, then again with it present."
        )


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
