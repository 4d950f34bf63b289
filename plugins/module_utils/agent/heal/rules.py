"""What is wrong with an instance and what to do about it: pure functions of evidence, history and clocks.

GitHub's API is no witness here, because its ``status`` and ``busy`` are wrong just when it matters
(actions/runner 3448, 4422). A worker of the instance forbids everything. Times are seconds of the clock that
counts sleep (CLOCK_BOOTTIME).

``heal.json``: what the last pass saw, did and remembers. It lives until the next boot.
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
GOOD = frozenset([AT_REST, BUSY, HEALTHY, STARTING])
# What no restart mends.
HOPELESS = frozenset([OFFLINE, LOOPING, UNREGISTERED, DEPRECATED])

# Actions.
START, RESTART, THAW = "start", "restart", "thaw"

# What the listener said last, as far as it explains something.
SAID_LISTENING, SAID_CONFLICT, SAID_DELETED = "listening", "conflict", "deleted"
SAID_DEPRECATED, SAID_OFFLINE = "deprecated", "offline"


class Limits(NamedTuple):
    """How patient the rules are, in seconds, and how much they may do."""

    frozen_seconds: float = 60.0  # a drain freezes for some milliseconds
    no_listener_seconds: float = 90.0  # run.sh waits up to 31 s for an update of the runner
    conflict_seconds: float = 240.0  # as long as the listener itself tries (_sessionConflictRetryLimit)
    deaf_seconds: float = 300.0  # a poll lasts 50 s
    wake_grace_seconds: float = 120.0
    asleep_seconds: float = 5.0  # more sleep than that between two passes is one
    loop_restarts: int = 4
    loop_window_seconds: float = 600.0
    loop_calm_seconds: float = 120.0
    first_quarantine_seconds: float = 120.0
    longest_quarantine_seconds: float = 3600.0
    forgiven_seconds: float = 1800.0  # so long healthy, and former attempts are forgotten
    actions_per_hour: int = 6


DEFAULTS = Limits()


class Clocks(NamedTuple):
    """``boot`` counts sleep, ``awake`` (CLOCK_MONOTONIC) does not."""

    boot: float
    awake: float
    boot_id: str = ""

    @property
    def slept(self) -> float:
        """How long the machine has slept since its boot."""
        return self.boot - self.awake


class Evidence(NamedTuple):
    """One instance as this machine shows it.

    ``enabled``, ``active_state``, ``sub_state``, ``restarts`` and ``pending`` (a start or stop is queued) are
    systemd's; ``connections`` counts the listener's established TCP connections, None when nobody can tell;
    ``log_mark`` changes whenever the listener's log grows; ``spool_mark`` when a hook wrote a record;
    ``watched`` tells that a watcher stays by the job.
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
    said: str = ""
    spool_mark: str = ""
    watched: bool = False


class Known(NamedTuple):
    """What is remembered of one instance: its condition since when, and what was tried."""

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
    """An action that was taken ``at``, and what came of it."""

    at: float
    instance: str
    action: str
    reason: str
    outcome: str = ""
    time: str = ""


class History(NamedTuple):
    """What the last pass left."""

    boot_id: str = ""
    at: float = 0.0
    slept: float = 0.0
    grace_until: float = 0.0
    instances: Mapping[str, Known] = {}
    done: tuple[Done, ...] = ()


class Action(NamedTuple):
    """Something to do for one instance, and why."""

    instance: str
    action: str
    reason: str


class Decision(NamedTuple):
    """``actions`` has at most one; ``watch`` names instances whose job, or its leftovers, need a watcher."""

    actions: tuple[Action, ...]
    watch: tuple[str, ...]
    history: History


class Finding(NamedTuple):
    """A condition, in words; ``action`` cures it once it has lasted ``patience`` seconds."""

    condition: str
    detail: str = ""
    action: str = ""
    patience: float = 0.0


def decide(
    evidence: Sequence[Evidence], history: History, now: Clocks, limits: Limits = DEFAULTS
) -> Decision:
    """Return what to do now, at most one action, and what to remember.

    After a wake-up there is a time of grace in which connections may come back by themselves. An instance
    that something was done for rests, twice as long each time; and all together may have only so many
    actions in an hour.
    """
    before = history if history.boot_id == now.boot_id else History(now.boot_id, now.boot, now.slept)
    woke = now.slept - before.slept > limits.asleep_seconds
    grace_until = now.boot + limits.wake_grace_seconds if woke else before.grace_until
    in_grace = now.boot < grace_until
    known: dict[str, Known] = {}
    ripe: list[tuple[int, float, Action]] = []
    for one in evidence:
        past = before.instances.get(one.name) or _first(one, now)
        finding, remembered = _judge(one, past, now, limits)
        if in_grace:
            remembered = remembered._replace(since=now.boot, quiet_since=None)
        known[one.name] = remembered
        waited = now.boot - remembered.since
        rested = now.boot >= remembered.retry_at
        if finding.action and rested and not in_grace and waited >= finding.patience:
            ripe.append(
                (remembered.attempts, remembered.since, Action(one.name, finding.action, finding.detail))
            )
    recent = tuple(one for one in before.done if now.boot - one.at < 3600)
    actions: tuple[Action, ...] = ()
    if ripe and len(recent) < limits.actions_per_hour:
        # The least tried first, so that one that cannot be mended keeps nobody waiting.
        actions = (min(ripe)[-1],)
        known[actions[0].instance] = _quarantined(known[actions[0].instance], now, limits)
    watch = tuple(one.name for one in evidence if _needs_watcher(one, before.instances.get(one.name)))
    after = History(now.boot_id, now.boot, now.slept, grace_until, known, recent)
    return Decision(actions, watch, after)


def _first(one: Evidence, now: Clocks) -> Known:
    return Known(
        since=now.boot,
        loop_from=now.boot,
        loop_base=one.restarts,
        last_restarts=one.restarts,
        calm_since=now.boot,
        spool_mark="",
    )


def _quarantined(known: Known, now: Clocks, limits: Limits) -> Known:
    rest = limits.first_quarantine_seconds * 2**known.attempts
    retry_at = now.boot + min(rest, limits.longest_quarantine_seconds)
    return known._replace(attempts=known.attempts + 1, retry_at=retry_at)


def _needs_watcher(one: Evidence, past: Optional[Known]) -> bool:
    """Return whether a job runs, or ran since the last pass, that nobody stays by."""
    was_busy = past is not None and past.condition == BUSY
    spoken = bool(one.spool_mark) and (past is None or past.spool_mark != one.spool_mark)
    return not one.watched and (one.worker or was_busy or spoken)


def _judge(one: Evidence, past: Known, now: Clocks, limits: Limits) -> tuple[Finding, Known]:
    """Return the finding about one instance, and what to remember of it."""
    noted = _looped(one, past, now, limits)
    noted = noted._replace(log_mark=one.log_mark, spool_mark=one.spool_mark)
    silent = one.connections == 0 and one.log_mark == past.log_mark and one.listener and not one.worker
    quiet_since = (now.boot if past.quiet_since is None else past.quiet_since) if silent else None
    noted = noted._replace(quiet_since=quiet_since)
    finding = _find(one, noted, now, limits)
    since = past.since if finding.condition == past.condition else now.boot
    attempts = noted.attempts
    if finding.condition in GOOD and now.boot - max(since, noted.retry_at) >= limits.forgiven_seconds:
        attempts = 0
    return finding, noted._replace(
        condition=finding.condition, since=since, detail=finding.detail, attempts=attempts
    )


def _looped(one: Evidence, past: Known, now: Clocks, limits: Limits) -> Known:
    """Return ``past`` with the count of restarts brought up to now."""
    calm_since = past.calm_since if one.restarts == past.last_restarts else now.boot
    noted = past._replace(last_restarts=one.restarts, calm_since=calm_since)
    too_old = now.boot - past.loop_from > limits.loop_window_seconds
    if too_old or one.restarts < past.loop_base:  # systemd counts anew after a start by hand
        return noted._replace(loop_from=now.boot, loop_base=one.restarts)
    return noted


def _find(one: Evidence, noted: Known, now: Clocks, limits: Limits) -> Finding:
    if one.worker:
        return Finding(BUSY, "a job runs")
    # Whoever froze it has died meanwhile; whatever else is to become of it, it does not by standing still.
    if one.frozen:
        return Finding(FROZEN, "its listener was stopped by a signal", THAW, limits.frozen_seconds)
    if not one.enabled:
        return Finding(AT_REST, "it is disabled: drained, or not wanted at boot")
    explained = _explained(one, limits)
    if explained:
        return explained
    if one.pending:
        return Finding(STARTING, "systemd is about to start or stop it")
    if _loops(one, noted, now, limits):
        return Finding(
            LOOPING,
            f"it ends again and again ({one.restarts} restarts); see 'journalctl -u "
            f"coldvox-runner@{one.name}'",
        )
    if one.active_state != "active":
        state = "waits to be started again" if one.sub_state == "auto-restart" else "does not run"
        return Finding(DEAD, f"its unit is enabled and {state}", START)
    return _find_in_listener(one, noted, now, limits)


def _explained(one: Evidence, limits: Limits) -> Optional[Finding]:
    """Return the finding that the listener itself, or its missing registration, gives the reason of."""
    converge = "a converge from the controller registers it again"
    if not one.registered:
        return Finding(
            UNREGISTERED, f"it has no registration (an ephemeral runner has had its job); {converge}"
        )
    if one.said == SAID_DELETED:
        return Finding(UNREGISTERED, f"GitHub has deleted its registration; {converge}")
    if one.said == SAID_DEPRECATED:
        return Finding(
            DEPRECATED, "GitHub takes this version of the runner no more; converge with a newer one"
        )
    # A unit that is down said so in its last life; whether it is still so shows when it is started.
    if one.said == SAID_CONFLICT and one.active_state not in ("inactive", "failed"):
        return Finding(
            CONFLICT,
            "GitHub believes that another session of it is open",
            RESTART if one.active_state == "active" else START,
            limits.conflict_seconds,
        )
    if one.said == SAID_OFFLINE and one.connections == 0:
        return Finding(OFFLINE, "it does not reach GitHub; look at the network and at githubstatus.com")
    return None


def _loops(one: Evidence, noted: Known, now: Clocks, limits: Limits) -> bool:
    if one.restarts - noted.loop_base >= limits.loop_restarts:
        return True
    # systemd's pauses grow, so a loop gets slow; it is over when the unit stays up.
    calm = one.active_state == "active" and now.boot - noted.calm_since >= limits.loop_calm_seconds
    return noted.condition == LOOPING and not calm


def _find_in_listener(one: Evidence, noted: Known, now: Clocks, limits: Limits) -> Finding:
    if not one.listener:
        detail = "its unit runs without a listener"
        return Finding(NO_LISTENER, detail, RESTART, limits.no_listener_seconds)
    if noted.quiet_since is not None and now.boot - noted.quiet_since >= limits.deaf_seconds:
        minutes = (now.boot - noted.quiet_since) / 60
        return Finding(
            DEAF, f"its listener has had no connection and written no log for {minutes:.0f} minutes", RESTART
        )
    return Finding(HEALTHY)


FILE = "heal.json"


class State(NamedTuple):
    """``checked_at`` is UTC ISO 8601; ``needs_person`` are sentences about what no restart mends."""

    checked_at: str
    history: History
    needs_person: tuple[str, ...]


def state_path(run_dir: str) -> str:
    """Return the file's path."""
    return os.path.join(run_dir, FILE)


def read(run_dir: str) -> Optional[State]:
    """Return what the last pass left; None when there was none since the boot, or it left nothing of use."""
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
    """Return the text of ``path``; raises OSError or ValueError for what neither root nor the caller wrote.

    Root decides by what it finds there, so it counts who wrote it and not only where it lies.
    """
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(opened, encoding="utf-8") as stream:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in (0, os.geteuid()):
            raise ValueError("it is not what the last pass left")
        return stream.read()


def write(run_dir: str, history: History, checked_at: float) -> None:
    """Keep ``history``; ``checked_at`` is in seconds since the epoch."""
    replace_file(state_path(run_dir), json.dumps(shown(history, checked_at), indent=1) + "\n", durable=False)


def shown(history: History, checked_at: float) -> dict[str, Any]:
    """Return ``history`` as JSON has it."""
    return {
        "checked_at": timestamp(checked_at),
        **history._asdict(),
        "instances": {name: known._asdict() for name, known in history.instances.items()},
        "done": [done._asdict() for done in history.done],
        "needs_person": list(needs_person(history)),
    }


def needs_person(history: History) -> tuple[str, ...]:
    """Return a sentence for each instance that healing cannot help, or has not helped by two attempts."""
    return tuple(
        f"{name}: {known.detail}"
        for name, known in sorted(history.instances.items())
        if known.condition in HOPELESS or (known.condition not in GOOD and known.attempts > 1)
    )
