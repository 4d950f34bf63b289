"""The plan for one instance: which steps bring it to its wanted state.

plan() is a pure function of the wanted state, the state on the host (Local) and GitHub's view (Remote). The
module github_runner makes the plan on the host. Steps about labels and the deletion of a registration are the
controller's; instance.py does all others.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Optional

from ..errors import CiError
from .options import same_labels


class Step(str, enum.Enum):
    """One step of a plan; the module returns these names as ``steps``."""

    WITHDRAW_LABELS = "withdraw_labels"  # before the wait for the running job, so that no other follows
    STOP = "stop"  # always waits for a running job first
    LINK_TREE = "link_tree"
    WIPE = "wipe"
    CONFIGURE = "configure"
    ENROL_JIT = "enrol_jit"
    WRITE_FILES = "write_files"
    START = "start"
    DISABLE = "disable"
    REMOVE_FILES = "remove_files"
    SET_LABELS = "set_labels"
    DELETE_REGISTRATION = "delete_registration"


@dataclass(frozen=True)
class Wanted:
    """The wanted state of one instance.

    ``fingerprint`` identifies the registration's options, ``tree`` the runner's files, and ``start_digest``
    all that a listener reads at its start. ``replace`` says which registration of the same name, made by
    others, may be replaced: ``never``, ``offline`` or ``always``. An ``ephemeral`` instance takes one job;
    if it is ``jit``, the API makes its registration.
    """

    name: str
    state: str
    fingerprint: str
    tree: str
    start_digest: str
    labels: tuple[str, ...]
    replace: str = "never"
    ephemeral: bool = False
    jit: bool = False


# Steps that the controller must prepare, or must watch one instance at a time.
_DEFERRED = frozenset([Step.WITHDRAW_LABELS, Step.STOP, Step.LINK_TREE, Step.CONFIGURE, Step.ENROL_JIT])


@dataclass(frozen=True)
class Local:
    """The state of one instance on the host; texts are empty if unknown.

    ``agent_id`` is from the runner's own file, which a job can spoil. ``recorded_id`` is from our record.
    ``announced`` says that this host was about to register, so the id may not have reached it.
    """

    exists: bool = False
    agent_id: Optional[int] = None
    recorded_id: Optional[int] = None
    announced: bool = False
    fingerprint: str = ""
    tree: str = ""
    start_digest: str = ""
    files_current: bool = False
    active: bool = False
    enabled: bool = False
    failing: bool = False


@dataclass(frozen=True)
class Remote:
    """One registration as GitHub shows it."""

    id: int
    online: bool
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The steps for one instance, their outcome, the reason, and a warning."""

    outcome: str
    steps: tuple[Step, ...] = ()
    reason: str = ""
    warning: str = ""

    @property
    def deferred(self) -> bool:
        """Whether the controller must act before the host does the steps."""
        return not _DEFERRED.isdisjoint(self.steps)

    @property
    def registers(self) -> bool:
        """Whether the instance gets another registration."""
        return not {Step.CONFIGURE, Step.ENROL_JIT}.isdisjoint(self.steps)


UNCHANGED = Plan("unchanged")


def plan(wanted: Wanted, local: Local, remote: Optional[Remote]) -> Plan:
    """Return the plan for one instance.

    Raises CiError if the name belongs to a registration that must not be replaced. GitHub's ``status`` and
    ``busy`` never cause a stop or removal: both are wrong after the host slept (actions/runner 3448, 4422).
    ``online`` only protects a registration that others made.
    """
    if wanted.state == "absent":
        return _plan_absent(wanted, local, remote)
    if wanted.state == "drained":
        return _plan_drained(local, remote)
    return _plan_present(wanted, local, remote)


def _plan_present(wanted: Wanted, local: Local, remote: Optional[Remote]) -> Plan:
    """Register if needed, else restart if needed, else relabel if needed."""
    reason = _registration_reason(wanted, local, remote)
    tree = (Step.LINK_TREE,) if local.tree != wanted.tree else ()
    stop = _stop(local, remote)
    if reason:
        warning = check_takeover(wanted.name, wanted.replace, local, remote)
        wipe = (Step.WIPE,) if wanted.ephemeral and local.fingerprint else ()
        register = Step.ENROL_JIT if wanted.jit else Step.CONFIGURE
        steps = (*stop, *tree, *wipe, register, Step.WRITE_FILES, Step.START)
        return Plan("registered" if remote is None else "replaced", steps, reason, warning)
    labels_match = remote is None or same_labels(wanted.labels, remote.labels)
    labels = () if labels_match else (Step.SET_LABELS,)
    restart_reason = _restart_reason(wanted, local)
    if restart_reason:
        back = (Step.SET_LABELS,) if Step.WITHDRAW_LABELS in stop else labels
        return Plan("updated", (*stop, *tree, Step.WRITE_FILES, Step.START, *back), restart_reason)
    if not local.active or not local.enabled or local.failing:
        return Plan("updated", (Step.START, *labels), "the unit does not run, is disabled, or fails")
    return Plan("relabelled", labels, "the labels differ") if labels else UNCHANGED


def _registration_reason(wanted: Wanted, local: Local, remote: Optional[Remote]) -> str:
    """Return why the instance must be registered, or an empty text."""
    if local.agent_id is None:
        return "the instance is not registered"
    if local.fingerprint != wanted.fingerprint:
        return "the options of the registration differ or are unknown"
    if remote is None:
        return "the registration was deleted on GitHub"
    if remote.id != local.agent_id:
        return "the name now belongs to another registration"
    return ""


def _restart_reason(wanted: Wanted, local: Local) -> str:
    """Return why the listener must be restarted, or an empty text."""
    if local.tree != wanted.tree:
        return "the runner's version or files differ"
    if not local.files_current:
        return "the environment or path differs"
    if local.start_digest != wanted.start_digest:
        return "the unit differs from the one that was started"
    return ""


def _stop(local: Local, remote: Optional[Remote]) -> tuple[Step, ...]:
    return (*_withdrawal(local, remote), Step.STOP) if local.active else ()


def _withdrawal(local: Local, remote: Optional[Remote]) -> tuple[Step, ...]:
    labelled = remote is not None and bool(remote.labels) and _is_ours(local, remote)
    return (Step.WITHDRAW_LABELS,) if labelled else ()


def check_takeover(name: str, replace: str, local: Local, remote: Optional[Remote]) -> str:
    """Return a warning if ``name`` takes the place of a registration of others.

    The text is empty if not. Raises CiError if ``replace`` forbids that.
    """
    if remote is None or _is_ours(local, remote):
        return ""
    if _may_replace(replace, remote):
        return (
            f"Runner '{name}' replaces the registration with id {remote.id}, which this host did not make. "
            "If another machine used it, its runner no longer works."
        )
    state = "online" if remote.online else "offline"
    remedy = (
        "or remove that runner at GitHub"
        if remote.online
        else "or, if it is this host's own from before a new installation, allow it once with "
        "github_runner_replace=offline (the option replace of the module)"
    )
    raise CiError(
        f"Runner name '{name}' is taken by another registration (id {remote.id}, {state}), which this host "
        f"did not make, so it is not replaced; choose another name, {remedy}."
    )


def _is_ours(local: Local, remote: Remote) -> bool:
    """Return whether this host made the registration.

    An interrupted run may have registered without a record of the id; such a runner never came online.
    """
    return remote.id in (local.agent_id, local.recorded_id) or (local.announced and not remote.online)


def _may_replace(replace: str, remote: Remote) -> bool:
    """Return whether a registration that others may have made can be removed."""
    return replace == "always" or (replace == "offline" and not remote.online)


def _plan_absent(wanted: Wanted, local: Local, remote: Optional[Remote]) -> Plan:
    here = (*_stop(local, remote), Step.REMOVE_FILES) if local.exists or local.active or local.enabled else ()
    ours = remote is not None and (_is_ours(local, remote) or _may_replace(wanted.replace, remote))
    there = (Step.DELETE_REGISTRATION,) if ours else ()
    if not here and not there:
        return UNCHANGED
    return Plan("removed", here + there, "the instance is not wanted any more")


def _plan_drained(local: Local, remote: Optional[Remote]) -> Plan:
    """Withdraw the labels first, so that no new job comes.

    The default labels cannot be withdrawn. They get no job either once the unit has stopped.
    """
    stop = (Step.STOP,) if local.active else ()
    disable = (Step.DISABLE,) if local.enabled else ()
    steps = (*_withdrawal(local, remote), *stop, *disable)
    return Plan("drained", steps, "the instance must not run") if steps else UNCHANGED
