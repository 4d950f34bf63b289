"""The decision what to do with one instance: a pure function of what is wanted, what is here, and what
GitHub says.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Optional

from ..errors import CiError
from .options import same_labels


class Step(str, enum.Enum):
    """One thing to do, in the order of the plan.

    What is about labels and the deletion of a registration is the controller's part, all else the host's.
    """

    WITHDRAW_LABELS = "withdraw_labels"  # before the wait for a job, so that no other one follows it
    STOP = "stop"  # waits for a running job first, always
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
    """One instance as it should be.

    ``fingerprint`` is that of the registration, ``tree`` identifies the runner's files, ``start_digest`` is
    the digest of all that a listener reads at its start; ``replace`` says which foreign registration of the
    same name may be taken over: ``never``, ``offline`` or ``always``. An ``ephemeral`` one takes one job, by
    a registration that the API makes if it is ``jit``.
    """

    name: str
    state: str
    fingerprint: str
    tree: str
    start_digest: str
    labels: tuple[str, ...]
    replace: str = "offline"
    ephemeral: bool = False
    jit: bool = False


# What the controller has to prepare, or to see through one instance at a time.
_DEFERRED = frozenset([Step.WITHDRAW_LABELS, Step.STOP, Step.LINK_TREE, Step.CONFIGURE, Step.ENROL_JIT])


@dataclass(frozen=True)
class Local:
    """One instance as the host has it; empty texts where nothing is known.

    ``agent_id`` is what the runner's own file says, which a job can spoil; ``recorded_id`` is our note of it.
    """

    exists: bool = False
    agent_id: Optional[int] = None
    recorded_id: Optional[int] = None
    fingerprint: str = ""
    tree: str = ""
    start_digest: str = ""
    files_current: bool = False
    active: bool = False
    enabled: bool = False


@dataclass(frozen=True)
class Remote:
    """One registration as GitHub shows it."""

    id: int
    online: bool
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What to do, what it comes to, and why."""

    outcome: str
    steps: tuple[Step, ...] = ()
    reason: str = ""

    @property
    def deferred(self) -> bool:
        """Whether the controller has a part in it before the host's."""
        return not _DEFERRED.isdisjoint(self.steps)


UNCHANGED = Plan("unchanged")


def plan(wanted: Wanted, local: Local, remote: Optional[Remote]) -> Plan:
    """Return the plan for one instance; raises CiError when its name belongs to somebody else.

    GitHub's ``status`` and ``busy`` never cause anything to be torn down: both are wrong after the host slept
    (actions/runner 3448, 4422). ``online`` only protects a foreign registration.
    """
    if wanted.state == "absent":
        return _plan_absent(wanted, local, remote)
    if wanted.state == "drained":
        return _plan_drained(local, remote)
    return _plan_present(wanted, local, remote)


def _plan_present(wanted: Wanted, local: Local, remote: Optional[Remote]) -> Plan:
    reason = _registration_reason(wanted, local, remote)
    tree = (Step.LINK_TREE,) if local.tree != wanted.tree else ()
    stop = _stop(local, remote)
    if reason:
        _check_takeover(wanted, local, remote)
        wipe = (Step.WIPE,) if wanted.ephemeral and local.fingerprint else ()
        register = Step.ENROL_JIT if wanted.jit else Step.CONFIGURE
        steps = (*stop, *tree, *wipe, register, Step.WRITE_FILES, Step.START)
        return Plan("registered" if remote is None else "replaced", steps, reason)
    as_asked = remote is None or same_labels(wanted.labels, remote.labels)
    labels = () if as_asked else (Step.SET_LABELS,)
    restart_reason = _restart_reason(wanted, local)
    if restart_reason:
        back = (Step.SET_LABELS,) if Step.WITHDRAW_LABELS in stop else labels
        return Plan("updated", (*stop, *tree, Step.WRITE_FILES, Step.START, *back), restart_reason)
    if not local.active or not local.enabled:
        return Plan("updated", (Step.START, *labels), "the unit is not running or not enabled")
    return Plan("relabelled", labels, "the labels differ") if labels else UNCHANGED


def _registration_reason(wanted: Wanted, local: Local, remote: Optional[Remote]) -> str:
    """Return why the instance has to be registered, or an empty text."""
    if local.agent_id is None:
        return "the instance is not registered"
    if local.fingerprint != wanted.fingerprint:
        return "the registration is not known to be of these options"
    if remote is None:
        return "the registration was deleted on GitHub"
    if remote.id != local.agent_id:
        return "the name belongs to another registration now"
    return ""


def _restart_reason(wanted: Wanted, local: Local) -> str:
    """Return why the listener has to be restarted, or an empty text."""
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


def _check_takeover(wanted: Wanted, local: Local, remote: Optional[Remote]) -> None:
    """Raise CiError when registering would throw out a runner that is not known to be this one."""
    if remote is None or _is_ours(local, remote) or _may_replace(wanted, remote):
        return
    state = "online" if remote.online else "offline"
    raise CiError(
        f"Runner name '{wanted.name}' is taken by another registration (id {remote.id}, {state}); choose "
        "another name, remove that runner, or allow it with replace=always."
    )


def _is_ours(local: Local, remote: Remote) -> bool:
    """Return whether this host made the registration."""
    return remote.id in (local.agent_id, local.recorded_id)


def _may_replace(wanted: Wanted, remote: Remote) -> bool:
    """Return whether a registration that is not known to be ours may go."""
    return wanted.replace == "always" or (wanted.replace == "offline" and not remote.online)


def _plan_absent(wanted: Wanted, local: Local, remote: Optional[Remote]) -> Plan:
    here = (*_stop(local, remote), Step.REMOVE_FILES) if local.exists or local.active or local.enabled else ()
    ours = remote is not None and (_is_ours(local, remote) or _may_replace(wanted, remote))
    there = (Step.DELETE_REGISTRATION,) if ours else ()
    if not here and not there:
        return UNCHANGED
    return Plan("removed", here + there, "the instance is not wanted any more")


def _plan_drained(local: Local, remote: Optional[Remote]) -> Plan:
    """Labels first, so that nothing new comes; the default labels cannot be taken off, the stop ends those
    too.
    """
    stop = (Step.STOP,) if local.active else ()
    disable = (Step.DISABLE,) if local.enabled else ()
    steps = (*_withdrawal(local, remote), *stop, *disable)
    return Plan("drained", steps, "the instance is to rest") if steps else UNCHANGED
