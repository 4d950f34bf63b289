"""The rules of healing: from evidence, history and clocks to actions. Pure.

GitHub's API is no evidence here, because its ``status`` and ``busy`` are wrong in the cases that matter
(actions/runner 3448, 4422). A running worker excludes every action on its instance. Times are seconds of the
clock that counts sleep (CLOCK_BOOTTIME).

The functions at the end keep the history in ``heal.json`` until the next boot.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ...host.clock import timestamp
from ...host.durable import replace_file

# Conditions, from good to bad.
AT_REST, BUSY, HEALTHY, STARTING = "at_rest", "busy", "healthy", "starting"
FROZEN, DEAD, NO_LISTENER, DEAF, CONFLICT = "frozen", "dead", "no_listener", "deaf", "session_conflict"
OFFLINE, LOOPING, UNREGISTERED, DEPRECATED = "offline", "crash_loop", "unregistered", "version_deprecated"
SPENT = "spent"
GOOD = frozenset([AT_REST, BUSY, HEALTHY, STARTING])
HOPELESS = frozenset([OFFLINE, LOOPING, UNREGISTERED, DEPRECATED, SPENT])  # a restart does not help
# Actions.
START, RESTART, THAW = "start", "restart", "thaw"

# The last message of the listener, if it explains its state.
MESSAGE_LISTENING, MESSAGE_CONFLICT, MESSAGE_DELETED = "listening", "conflict", "deleted"
MESSAGE_DEPRECATED, MESSAGE_OFFLINE = "deprecated", "offline"


class Limits(NamedTuple):
    """The patience of the rules in seconds, and the most actions."""

    frozen_seconds: float = 60.0  # a drain freezes for some milliseconds
    auto_restart_seconds: float = 30.0  # between two jobs it lasts a fraction of a second
    no_listener_seconds: float = 90.0  # run.sh waits up to 31 s for an update of the runner
    conflict_seconds: float = 240.0  # as long as the listener itself tries (_sessionConflictRetryLimit)
    deaf_seconds: float = 300.0  # a poll lasts 50 s
    wake_grace_seconds: float = 120.0
    asleep_seconds: float = 5.0  # shorter sleep between two passes does not count
    loop_restarts: int = 4
    loop_window_seconds: float = 600.0
    loop_calm_seconds: float = 120.0
    first_quarantine_seconds: float = 120.0
    longest_quarantine_seconds: float = 3600.0
    forgiven_seconds: float = 1800.0  # healthy for this long, the count of attempts is reset
    actions_per_hour: int = 6


DEFAULTS = Limits()
# For a conflict that restarts do not end.
_THEFT = (
    "; if no copy of it of yours runs elsewhere, its key may be stolen: remove it on GitHub's Runners page, "
    "then 'ansible-playbook site.yml --tags github_runner' for this host registers it with a new key"
)
FILE = "heal.json"


class Clocks(NamedTuple):
    """The clocks: ``boot`` counts sleep, ``awake`` (CLOCK_MONOTONIC) does not."""

    boot: float
    awake: float
    boot_id: str = ""

    @property
    def slept(self) -> float:
        """The seconds of sleep since the boot."""
        return self.boot - self.awake


class Evidence(NamedTuple):
    """The state of one instance on this machine.

    ``enabled``, ``active_state``, ``sub_state``, ``restarts`` and ``pending`` (a start or stop is queued)
    come from systemd. ``connections`` counts the listener's established TCP connections, None if unreadable.
    ``log_mark`` changes when the listener's log grows, ``spool_mark`` when a hook writes a record.
    ``message`` is a MESSAGE_ constant or empty. ``watched`` is whether its watcher unit runs. An
    ``ephemeral`` instance loses its registration with its job.
    """

    name: str
    enabled: bool = True
    active_state: str = "active"
    sub_state: str = "running"
    restarts: int = 0
    pending: bool = False
    registered: bool = True
    worker: bool = False
    listener: bool = True
    frozen: bool = False
    connections: Optional[int] = None
    log_mark: str = ""
    message: str = ""
    spool_mark: str = ""
    watched: bool = False
    ephemeral: bool = False


class Known(NamedTuple):
    """The memory of one instance: its condition, since when, and the attempts."""

    condition: str = HEALTHY
    since: float = 0.0
    detail: str = ""
    log_mark: str = ""
    quiet_since: Optional[float] = None
    loop_from: float = 0.0
    loop_base: int = 0
    calm_since: float = 0.0
    last_restarts: int = 0
    attempts: int = 0
    retry_at: float = 0.0
    spool_mark: str = ""


class Done(NamedTuple):
    """An action that was taken ``at``, and its outcome."""

    at: float
    instance: str
    action: str
    reason: str
    outcome: str = ""
    time: str = ""


class History(NamedTuple):
    """The memory of the last pass."""

    boot_id: str = ""
    at: float = 0.0
    slept: float = 0.0
    grace_until: float = 0.0
    instances: Mapping[str, Known] = {}
    done: tuple[Done, ...] = ()


class Action(NamedTuple):
    """An action for one instance, and its reason."""

    instance: str
    action: str
    reason: str


class Decision(NamedTuple):
    """At most one action, and the instances whose job, or its files, need a watcher."""

    actions: tuple[Action, ...]
    watch: tuple[str, ...]
    history: History


class Finding(NamedTuple):
    """A condition, and the action to take when it has lasted ``patience`` seconds."""

    condition: str
    detail: str = ""
    action: str = ""
    patience: float = 0.0


def decide(
    evidence: Sequence[Evidence], history: History, now: Clocks, limits: Limits = DEFAULTS
) -> Decision:
    """Return the actions of this pass, at most one, and the history for the next.

    After sleep there is a time of grace, in which connections may come back by themselves. After an action an
    instance gets no other for a while, twice as long each time. All instances together get at most
    ``actions_per_hour``.
    """
    before = history if history.boot_id == now.boot_id else History(now.boot_id, now.boot, now.slept)
    woke = now.slept - before.slept > limits.asleep_seconds
    grace_until = now.boot + limits.wake_grace_seconds if woke else before.grace_until
    in_grace = now.boot < grace_until
    known: dict[str, Known] = {}
    ripe: list[tuple[int, float, Action]] = []
    for each in evidence:
        past = before.instances.get(each.name) or _first(each, now)
        finding, remembered = _judge(each, past, now, limits)
        if in_grace:
            remembered = remembered._replace(since=now.boot, quiet_since=None)
        known[each.name] = remembered
        waited = now.boot - remembered.since
        at_rest = in_grace or now.boot < remembered.retry_at
        if finding.action and not at_rest and waited >= finding.patience:
            ripe.append(
                (remembered.attempts, remembered.since, Action(each.name, finding.action, finding.detail))
            )
    recent = tuple(done for done in before.done if now.boot - done.at < 3600)
    actions: tuple[Action, ...] = ()
    if ripe and len(recent) < limits.actions_per_hour:
        # The fewest attempts first, so that a hopeless instance does not delay the others.
        actions = (min(ripe)[-1],)
        known[actions[0].instance] = _quarantined(known[actions[0].instance], now, limits)
    watch = tuple(each.name for each in evidence if _needs_watcher(each, before.instances.get(each.name)))
    after = History(now.boot_id, now.boot, now.slept, grace_until, known, recent)
    return Decision(actions, watch, after)


def _first(evidence: Evidence, now: Clocks) -> Known:
    return Known(
        since=now.boot,
        loop_from=now.boot,
        loop_base=evidence.restarts,
        last_restarts=evidence.restarts,
        calm_since=now.boot,
    )


def _quarantined(known: Known, now: Clocks, limits: Limits) -> Known:
    rest = min(limits.first_quarantine_seconds * 2**known.attempts, limits.longest_quarantine_seconds)
    return known._replace(attempts=known.attempts + 1, retry_at=now.boot + rest)


def _needs_watcher(evidence: Evidence, past: Optional[Known]) -> bool:
    """Return whether a job runs, or ran since the last pass, without a watcher."""
    was_busy = past is not None and past.condition == BUSY
    recorded = bool(evidence.spool_mark) and (past is None or past.spool_mark != evidence.spool_mark)
    return not evidence.watched and (evidence.worker or was_busy or recorded)


def _judge(evidence: Evidence, past: Known, now: Clocks, limits: Limits) -> tuple[Finding, Known]:
    """Return the finding about one instance, and the memory of it."""
    noted = _count_restarts(evidence, past, now, limits)
    noted = noted._replace(log_mark=evidence.log_mark, spool_mark=evidence.spool_mark)
    silent = (
        evidence.connections == 0
        and evidence.log_mark == past.log_mark
        and evidence.listener
        and not evidence.worker
    )
    quiet_since = (now.boot if past.quiet_since is None else past.quiet_since) if silent else None
    noted = noted._replace(quiet_since=quiet_since)
    finding = _find(evidence, noted, now, limits)
    since = past.since if finding.condition == past.condition else now.boot
    attempts = noted.attempts
    if finding.condition in GOOD and now.boot - max(since, noted.retry_at) >= limits.forgiven_seconds:
        attempts = 0
    return finding, noted._replace(
        condition=finding.condition, since=since, detail=finding.detail, attempts=attempts
    )


def _count_restarts(evidence: Evidence, past: Known, now: Clocks, limits: Limits) -> Known:
    """Return ``past`` with the present count of restarts."""
    calm_since = past.calm_since if evidence.restarts == past.last_restarts else now.boot
    noted = past._replace(last_restarts=evidence.restarts, calm_since=calm_since)
    too_old = now.boot - past.loop_from > limits.loop_window_seconds
    if too_old or evidence.restarts < past.loop_base:  # systemd counts from 0 after a start by hand
        return noted._replace(loop_from=now.boot, loop_base=evidence.restarts)
    return noted


def _find(evidence: Evidence, noted: Known, now: Clocks, limits: Limits) -> Finding:
    if evidence.worker:
        return Finding(BUSY, "a job runs")
    # The process that sent SIGSTOP is gone. Resume the listener before any other action.
    if evidence.frozen:
        return Finding(FROZEN, "its listener was stopped by a signal", THAW, limits.frozen_seconds)
    if not evidence.enabled:
        return Finding(AT_REST, "it is disabled: drained, or not wanted at boot")
    reason = _find_reason(evidence, limits)
    if reason:
        return reason
    if evidence.pending:
        return Finding(STARTING, "systemd is about to start or stop it")
    if _loops(evidence, noted, now, limits):
        return Finding(
            LOOPING,
            f"it ends again and again ({evidence.restarts} restarts); see 'journalctl -u "
            f"coldvox-runner@{evidence.name}'",
        )
    if evidence.sub_state == "start-pre":
        return Finding(STARTING, "root prepares it for its next job")
    if evidence.sub_state == "auto-restart":
        detail = "its unit is enabled and waits to be started again"
        return Finding(DEAD, detail, START, limits.auto_restart_seconds)
    if evidence.active_state != "active":
        return Finding(DEAD, "its unit is enabled and does not run", START)
    return _find_in_listener(evidence, noted, now, limits)


def _find_reason(evidence: Evidence, limits: Limits) -> Optional[Finding]:
    """Return the finding from the registration and the listener's last message."""
    converge = "a converge from the controller registers it again"
    if not evidence.registered:
        if evidence.ephemeral:
            return Finding(SPENT, f"it has had its job and waits for its next registration; {converge}")
        return Finding(UNREGISTERED, f"its registration is gone from this host; {converge}")
    if evidence.message == MESSAGE_DELETED:
        return Finding(UNREGISTERED, f"GitHub has deleted its registration; {converge}")
    if evidence.message == MESSAGE_DEPRECATED:
        return Finding(
            DEPRECATED, "GitHub no longer accepts this version of the runner; converge with a newer one"
        )
    # A stopped unit wrote this before it stopped. Only a start shows whether it still holds.
    if evidence.message == MESSAGE_CONFLICT and evidence.active_state not in ("inactive", "failed"):
        return Finding(
            CONFLICT,
            "GitHub believes that another session of it is open",
            RESTART if evidence.active_state == "active" else START,
            limits.conflict_seconds,
        )
    if evidence.message == MESSAGE_OFFLINE and evidence.connections == 0:
        return Finding(OFFLINE, "it does not reach GitHub; check the network and githubstatus.com")
    return None


def _loops(evidence: Evidence, noted: Known, now: Clocks, limits: Limits) -> bool:
    if evidence.restarts - noted.loop_base >= limits.loop_restarts:
        return True
    # systemd's pauses grow, so the loop slows down. It is over when the unit stays up.
    calm = evidence.active_state == "active" and now.boot - noted.calm_since >= limits.loop_calm_seconds
    return noted.condition == LOOPING and not calm


def _find_in_listener(evidence: Evidence, noted: Known, now: Clocks, limits: Limits) -> Finding:
    if not evidence.listener:
        return Finding(NO_LISTENER, "its unit runs without a listener", RESTART, limits.no_listener_seconds)
    if noted.quiet_since is not None and now.boot - noted.quiet_since >= limits.deaf_seconds:
        minutes = (now.boot - noted.quiet_since) / 60
        return Finding(
            DEAF, f"its listener has had no connection and written no log for {minutes:.0f} minutes", RESTART
        )
    return Finding(HEALTHY)


class State(NamedTuple):
    """The content of ``heal.json``; ``checked_at`` is UTC in ISO 8601."""

    checked_at: str
    history: History
    needs_person: tuple[str, ...]


def state_path(run_dir: str) -> str:
    """Return the path of ``heal.json``."""
    return os.path.join(run_dir, FILE)


def read(run_dir: str) -> Optional[State]:
    """Return the state of the last pass since the boot, None if missing or damaged."""
    try:
        data = json.loads(_text(state_path(run_dir)))
        history = History(
            boot_id=str(data["boot_id"]),
            at=float(data["at"]),
            slept=float(data["slept"]),
            grace_until=float(data["grace_until"]),
            instances={str(name): Known(**known) for name, known in data["instances"].items()},
            done=tuple(Done(**done) for done in data["done"]),
        )
        return State(str(data["checked_at"]), history, needs_person(history))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _text(path: str) -> str:
    """Return the text of ``path``; raises OSError or ValueError for a wrong owner.

    Root acts on this file, so root or the caller must own it. Its directory alone does not prove that.
    """
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(opened, encoding="utf-8") as stream:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()):
            raise ValueError("it is not a file of root or of the caller")
        return stream.read()


def write(run_dir: str, history: History, checked_at: float) -> None:
    """Write ``history`` to ``heal.json``; ``checked_at`` is in Unix seconds."""
    replace_file(state_path(run_dir), json.dumps(shown(history, checked_at), indent=1) + "\n", durable=False)


def shown(history: History, checked_at: float) -> dict[str, Any]:
    """Return ``history`` as data for JSON."""
    return {
        "checked_at": timestamp(checked_at),
        **history._asdict(),
        "instances": {name: known._asdict() for name, known in history.instances.items()},
        "done": [done._asdict() for done in history.done],
        "needs_person": list(needs_person(history)),
    }


def needs_person(history: History) -> tuple[str, ...]:
    """Return a sentence for each hopeless instance, or after two failed attempts."""
    return tuple(
        f"{name}: {known.detail}{_THEFT if known.condition == CONFLICT else ''}"
        for name, known in sorted(history.instances.items())
        if known.condition in HOPELESS or (known.condition not in GOOD and known.attempts > 1)
    )
