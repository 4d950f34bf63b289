"""A pool on its host: inspect the instances, plan, and carry out each plan.

The module github_runner calls, in this order: pool_of(), inspect_pool(), converge(), diff().
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..errors import CiError
from ..host import systemd
from ..host.flock import Flock
from .account import Host, has_account
from .by_hand import ByHand, check_stopped, named
from .instance import Instance
from .layout import instance_layout, instance_unit
from .options import check_architecture, normal_instances, system_labels
from .plan import UNCHANGED, Local, Plan, Remote, Step, Wanted, check_by_hand, plan
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

    ``refusal`` says why the wanted state is impossible; it is empty if it is possible. ``by_hand`` is a
    runner of the same name on this host.
    """

    options: Mapping[str, Any]
    target: Target
    instance: Instance
    local: Local
    remote: Optional[Remote]
    plan: Plan
    refusal: str = ""
    by_hand: Optional[ByHand] = None

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


def inspect_pool(pool: Pool, host: Host, by_hand: Sequence[ByHand] = ()) -> list[PlannedInstance]:
    """Read the state of every instance and plan its steps, without any change.

    ``by_hand`` are the runners of this host that a person installed for the URL of the pool.

    Raises CiError for an error that concerns the whole pool.
    """
    if not pool.archive and any(options["state"] == "present" for options in pool.instances):
        raise CiError(
            "The option archive is missing; give the path of the unpacked runner, as coldvox.ci.artifact "
            "returns it."
        )
    tree_id = tree_identity(pool.archive) if pool.archive else ""
    units = systemd.show(host.run, [instance_unit(options["name"]) for options in pool.instances])
    others = named(by_hand)
    return [
        _inspect(pool, host, options, tree_id, units, others.get(options["name"].lower()))
        for options in pool.instances
    ]


def _inspect(
    pool: Pool,
    host: Host,
    options: Mapping[str, Any],
    tree_id: str,
    units: Mapping[str, systemd.Unit],
    other: Optional[ByHand],
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
        by_hand_id=other.settings.agent_id if other else None,
    )
    planned = UNCHANGED
    refusal = ""
    try:
        _check_account(options, target, local)
        if other:
            check_by_hand(wanted, local, remote, other.place)
        planned = plan(wanted, local, remote)
    except CiError as error:
        refusal = str(error)
    return PlannedInstance(options, target, instance, local, remote, planned, refusal, other)


def _check_account(options: Mapping[str, Any], target: Target, local: Local) -> None:
    """Raise CiError if the account is gone.

    Systemd would try to start the unit for ever.
    """
    if options["state"] == "present" and local.agent_id is not None and not has_account(target.user):
        raise CiError(
            f"Account '{target.user}' of runner '{options['name']}' was deleted on this host, so its files "
            "have no owner; converge once with state=absent for this instance, then again with it present."
        )


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
        if item.by_hand and Step.CONFIGURE in item.plan.steps:
            check_stopped(item.by_hand)
        item.instance.apply(item.plan.steps, item.local, secrets, replace=known, lock=lock)
    except CiError as error:
        return str(error)
    except OSError as error:
        place = error.filename or item.target.layout.root
        return (
            f"Runner '{item.options['name']}' failed at '{place}': {error.strerror}; correct that, run again."
        )
    return ""


def by_hand_warnings(items: Sequence[PlannedInstance], by_hand: Sequence[ByHand]) -> list[str]:
    """Return a warning for each runner of ``by_hand`` that works next to the pool."""
    listed = {item.options["name"].lower(): item for item in items}
    warnings = []
    for runner in by_hand:
        item = listed.get(runner.name.lower())
        if item is None:
            warnings.append(
                f"Runner '{runner.name}' was installed by hand on this host, at {runner.place}. Its jobs "
                "have no "
                "limits, no sandbox and no clean-up. List it in github_runner_instances and run adopt.yml, "
                "or "
                "remove it."
            )
        elif item.local.recorded_id is not None and not item.plan.steps and not item.refusal:
            warnings.append(
                f"Runner '{runner.name}' belongs to the pool, and files of its registration by hand are "
                "still at "
                f"{runner.place}. Run adopt.yml, which removes them and disables the unit."
            )
    return warnings


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
