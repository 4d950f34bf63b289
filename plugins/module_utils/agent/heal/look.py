"""The evidence from systemd, /proc, the listener's log and the journal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Optional

from ...host import systemd
from ...host.clock import boot_id, boottime
from ...host.process import Run
from ...runner.fresh_start import calm_restarts, restarts_of
from ...runner.instance_records import REGISTRATION, read_record
from ...runner.layout import Layout, instance_layout, instance_unit, watcher_unit
from ...runner.worker import Process, processes, programs
from ..hooks.spool import spool_directory
from .endings import Line, line_of
from .rules import (
    AT_REST,
    BUSY,
    HEALTHY,
    MESSAGE_CONFLICT,
    MESSAGE_DELETED,
    MESSAGE_DEPRECATED,
    MESSAGE_LISTENING,
    MESSAGE_OFFLINE,
    Clocks,
    Evidence,
    Known,
)

_PROPERTIES = "Id,ActiveState,SubState,UnitFileState,NRestarts,Job,InvocationID"
_QUIET = frozenset([AT_REST, BUSY, HEALTHY])
_LINES = 40
_JOURNAL_SECONDS = 10.0
_ESTABLISHED = "01"  # include/net/tcp_states.h
_SOCKET = re.compile(r"socket:\[(\d+)\]")
# MESSAGE_ID of "Starting" and "Started" (systemd.journal-fields(7), sd-messages.h).
_STARTING = ("7d4958e842da4a758f6c1cdc7b36dcc5", "39f53479d3a045ac8e11786248231fbf")
_JOB = "Running job: "
# Messages of the runner (actions/runner 2.336.0) and of our unit. The last message in the journal counts.
_MESSAGES = (
    ("Listening for Jobs", MESSAGE_LISTENING),
    ("Runner reconnected", MESSAGE_LISTENING),
    # These come before the errors, so that a job's name with the text of an error has no effect.
    (_JOB, MESSAGE_LISTENING),
    (" completed with result: ", MESSAGE_LISTENING),
    ("A session for this runner already exists", MESSAGE_CONFLICT),
    ("Session Conflict error", MESSAGE_CONFLICT),
    ("registration has been deleted", MESSAGE_DELETED),
    ("no longer exists on the server", MESSAGE_DELETED),
    ("is deprecated and cannot receive messages", MESSAGE_DEPRECATED),
    ("version deprecated error", MESSAGE_DEPRECATED),
    ("Runner connect error", MESSAGE_OFFLINE),
)


class Place(NamedTuple):
    """The sources of the evidence, which a test replaces."""

    run: Run
    base_dir: str
    run_dir: str
    proc: str = "/proc"


def clocks() -> Clocks:
    """Return the present state of the machine's clocks."""
    return Clocks(boottime(), time.monotonic(), boot_id())


def instance_names(base_dir: str) -> list[str]:
    """Return the instances that the collection created below ``base_dir``.

    Only root can create the record that marks them.
    """
    with contextlib.suppress(OSError):
        return sorted(
            name
            for name in os.listdir(base_dir)
            if os.path.exists(instance_layout(base_dir, name).record(REGISTRATION))
        )
    return []


def gather(place: Place, known: Mapping[str, Known]) -> list[Evidence]:
    """Return the evidence of every instance; raises CiError if systemd fails."""
    names = instance_names(place.base_dir)
    wanted = [unit for name in names for unit in (instance_unit(name), watcher_unit(name))]
    units = systemd.show(place.run, wanted, _PROPERTIES)
    seen = list(processes(place.proc)) if names else []
    return [_evidence(place, name, units, seen, known.get(name)) for name in names]


def _evidence(
    place: Place,
    name: str,
    units: Mapping[str, systemd.Unit],
    seen: Sequence[Process],
    past: Optional[Known],
) -> Evidence:
    layout, unit = instance_layout(place.base_dir, name), units[instance_unit(name)]
    service = instance_unit(name)
    listeners, workers = programs(seen, os.path.realpath(layout.root), service)
    listener = next(iter(listeners), None)
    evidence = Evidence(
        name=name,
        enabled=unit.enabled,
        active_state=unit.get("ActiveState", ""),
        sub_state=unit.get("SubState", ""),
        # A listener that takes one job ends after each. Only restarts since the last job count.
        restarts=max(0, restarts_of(unit) - calm_restarts(layout)),
        pending=bool(unit.get("Job")),
        registered=any(map(os.path.exists, _registrations(layout))),
        worker=bool(workers),
        listener=listener is not None,
        frozen=listener is not None and _state(place.proc, listener) == "T",
        connections=None if listener is None else connections(place.proc, listener),
        log_mark=log_mark(layout),
        spool_mark=_changed(spool_directory(place.run_dir, name)),
        watched=units[watcher_unit(name)].active,
        ephemeral=read_record(layout, REGISTRATION).get("ephemeral") is True,
    )
    if _needs_journal(evidence, past):
        invocation = unit.get("InvocationID", "") if listeners else ""
        return evidence._replace(message=proven_message(place.run, service, invocation, listeners))
    return evidence


def _registrations(layout: Layout) -> list[str]:
    """Return the paths of a registration: the runner's files, and root's copy.

    Root restores the files from its copy before each start.
    """
    return [layout.file(".runner"), layout.file(".runner_migrated"), layout.record("registration")]


def _needs_journal(evidence: Evidence, past: Optional[Known]) -> bool:
    """Return whether the journal may have a reason; reading it costs the most."""
    if not evidence.enabled or evidence.worker:
        return False
    calm = past is not None and past.condition in _QUIET and past.last_restarts == evidence.restarts
    return not calm or evidence.active_state != "active" or not evidence.listener or evidence.connections == 0


def last_message(run: Run, name: str, *, this_start: bool = False) -> str:
    """Return the listener's last known message in the journal, as in ``message_in``.

    With ``this_start`` only messages since the last start of its unit count.
    """
    unit = instance_unit(name)
    if not this_start:
        return proven_message(run, unit)
    invocation = systemd.show(run, [unit], "Id,InvocationID")[unit].get("InvocationID", "")
    return proven_message(run, unit, invocation) if invocation else ""


def proven_message(run: Run, unit: str, invocation: str = "", pids: Collection[int] = ()) -> str:
    """Return the last known message that the listener of ``unit`` itself logged.

    Every process of the unit can write to its journal. ``pids`` are listeners that run now. Those of the past
    are known by time: before the listener logs its first job, no code of a job has run in that invocation
    (systemd.exec(5)) of the unit. So lines up to then are the runner's, and later ones count if the same
    process wrote them. Without ``invocation`` the last two count, because the last one may have no lines yet.
    """
    if pids:
        own = [f"_SYSTEMD_INVOCATION_ID={invocation}", *(f"_PID={pid}" for pid in sorted(pids))]
        message = message_in(_journal(run, own, "--reverse", f"--lines={_LINES}")[::-1])
        if message:
            return message
    for start in _starts(run, unit):
        if invocation in ("", start.invocation):
            message = _message_since(run, start)
            if message:
                return message
    return ""


class _Start(NamedTuple):
    """A start of a unit, in Unix seconds."""

    invocation: str
    at: float


def _starts(run: Run, unit: str) -> list[_Start]:
    """Return the last two starts of ``unit`` in systemd's log, the latest first."""
    which = ["_PID=1", f"UNIT={unit}", *(f"MESSAGE_ID={number}" for number in _STARTING)]
    text = _read_journal(run, which, "INVOCATION_ID", "--reverse", f"--lines={2 * len(_STARTING)}")
    starts: dict[str, _Start] = {}
    for entry in text.splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            data = json.loads(entry)
            invocation, at = str(data["INVOCATION_ID"]), int(data["__REALTIME_TIMESTAMP"]) / 1e6
            starts[invocation] = _Start(invocation, at)  # reversed, so the first line of each stays
    return list(starts.values())[:2]


def _message_since(run: Run, start: _Start) -> str:
    """Return the runner's last known message in one invocation of its unit."""
    invocation = f"_SYSTEMD_INVOCATION_ID={start.invocation}"
    # With --since, systemd before 254 returns the earliest lines too; it ignores the plus sign.
    head = _journal(run, [invocation], "--since=@0", f"--lines=+{_LINES}")
    if not head or head[0].at < start.at:
        return ""
    job = next((number for number, line in enumerate(head) if _JOB in line.text), None)
    if job is None and len(head) < _LINES:
        return message_in(head)
    before = head if job is None else head[: job + 1]
    own = [f"_PID={pid}" for pid in sorted({line.pid for line in before})]
    tail = _journal(run, [invocation, *own], "--reverse", f"--lines={_LINES}")[::-1]
    return message_in(tail) or message_in(before)


def _journal(run: Run, which: Sequence[str], *options: str) -> list[Line]:
    """Return the journal's lines that processes of accounts wrote to their output.

    Root's own lines in the unit may contain names of a job's files.
    """
    text = _read_journal(run, [*which, "_TRANSPORT=stdout"], "MESSAGE,_PID,_UID", *options)
    return [line for line in map(line_of, text.splitlines()) if line and not line.root]


def _read_journal(run: Run, which: Sequence[str], fields: str, *options: str) -> str:
    words = ["journalctl", "--output=json", f"--output-fields={fields}", "--quiet", "--no-pager", "--boot"]
    return run([*words, *options, *which], timeout_seconds=_JOURNAL_SECONDS).stdout


def message_in(lines: Sequence[Line]) -> str:
    """Return the MESSAGE_ constant of the last known line in ``lines``, else ""."""
    for line in reversed(lines):
        for words, message in _MESSAGES:
            if words in line.text:
                return message
    return ""


def log_mark(layout: Layout) -> str:
    """Return name and size of the listener's newest log, empty without a log."""
    newest = ("", 0)
    with contextlib.suppress(OSError), os.scandir(layout.file("_diag")) as entries:
        for entry in entries:
            # The name contains the time of the start.
            if entry.name.startswith("Runner_") and entry.name > newest[0]:
                newest = (entry.name, entry.stat(follow_symlinks=False).st_size)
    return f"{newest[0]}:{newest[1]}" if newest[0] else ""


def connections(proc: str, pid: int) -> Optional[int]:
    """Return the number of established TCP connections of ``pid``, None if unreadable."""
    own: set[str] = set()
    try:
        for number in os.listdir(f"{proc}/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                own.update(_SOCKET.findall(os.readlink(f"{proc}/{pid}/fd/{number}")))
        tables = [_lines(f"{proc}/{pid}/net/{name}") for name in ("tcp", "tcp6")]
    except OSError:
        return None
    return len([1 for lines in tables for line in lines[1:] if _is_open(line.split(), own)])


def _is_open(fields: Sequence[str], own: set[str]) -> bool:
    """Return whether a line of /proc/net/tcp, see proc(5), is open and in ``own``."""
    return len(fields) > 9 and fields[3] == _ESTABLISHED and fields[9] in own


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii") as stream:
            return stream.read().splitlines()
    except FileNotFoundError:  # no IPv6 on this machine
        return []


def _state(proc: str, pid: int) -> str:
    try:
        with open(f"{proc}/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def _changed(directory: str) -> str:
    try:
        return str(os.stat(directory).st_mtime_ns)
    except OSError:
        return ""
