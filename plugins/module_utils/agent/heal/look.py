"""Gathering the evidence: systemd, /proc, the listener's log and the journal, one pass for all instances."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

from ...host import systemd
from ...host.clock import boot_id, boottime
from ...host.process import Run
from ...runner.instance_records import REGISTRATION
from ...runner.layout import Layout, instance_layout, instance_unit
from ...runner.worker import LISTENER, Process, is_program, is_worker, processes
from ..hooks.spool import spool_directory
from .rules import (
    AT_REST,
    BUSY,
    HEALTHY,
    SAID_CONFLICT,
    SAID_DELETED,
    SAID_DEPRECATED,
    SAID_LISTENING,
    SAID_OFFLINE,
    Clocks,
    Evidence,
    Known,
)

_PROPERTIES = "Id,ActiveState,SubState,UnitFileState,NRestarts,Job"
_QUIET = frozenset([AT_REST, BUSY, HEALTHY])
_LINES = 40
_JOURNAL_SECONDS = 10.0
_ESTABLISHED = "01"  # include/net/tcp_states.h
_SOCKET = re.compile(r"socket:\[(\d+)\]")
# The runner's own words (actions/runner 2.336.0) and our unit's; the last one that is said counts.
_SAYINGS = (
    ("Listening for Jobs", SAID_LISTENING),
    ("Runner reconnected", SAID_LISTENING),
    # The words around a job's name come first in this table, so that the name says nothing.
    ("Running job: ", SAID_LISTENING),
    (" completed with result: ", SAID_LISTENING),
    ("A session for this runner already exists", SAID_CONFLICT),
    ("Session Conflict error", SAID_CONFLICT),
    ("registration has been deleted", SAID_DELETED),
    ("no longer exists on the server", SAID_DELETED),
    ("is deprecated and cannot receive messages", SAID_DEPRECATED),
    ("version deprecated error", SAID_DEPRECATED),
    ("Runner connect error", SAID_OFFLINE),
)


class Place(NamedTuple):
    """Where to look; another one in a test."""

    run: Run
    base_dir: str
    run_dir: str
    proc: str = "/proc"


def clocks() -> Clocks:
    """Return the machine's clocks."""
    return Clocks(boottime(), time.monotonic(), boot_id())


def watcher_unit(name: str) -> str:
    """Return the unit that stays by the jobs of the instance ``name``."""
    return f"coldvox-ci-job@{name}.service"


def instance_names(base_dir: str) -> list[str]:
    """Return the instances that the collection has made below ``base_dir``; root alone can make its notes."""
    with contextlib.suppress(OSError):
        return sorted(
            name
            for name in os.listdir(base_dir)
            if os.path.exists(instance_layout(base_dir, name).record(REGISTRATION))
        )
    return []


def gather(place: Place, known: Mapping[str, Known]) -> list[Evidence]:
    """Return the evidence of every instance; raises CiError when systemd does not answer."""
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
    root, service = os.path.realpath(layout.root), instance_unit(name)
    listener = next((one.pid for one in seen if is_program(one, LISTENER, root, service)), None)
    restarts = unit.get("NRestarts", "")
    found = Evidence(
        name=name,
        enabled=unit.enabled,
        active_state=unit.get("ActiveState", ""),
        sub_state=unit.get("SubState", ""),
        restarts=int(restarts) if restarts.isdigit() else 0,
        pending=bool(unit.get("Job")),
        registered=any(os.path.exists(layout.file(file)) for file in (".runner", ".runner_migrated")),
        worker=any(is_worker(one, root, service) for one in seen),
        listener=listener is not None,
        frozen=listener is not None and _state(place.proc, listener) == "T",
        connections=None if listener is None else connections(place.proc, listener),
        log_mark=log_mark(layout),
        spool_mark=_changed(spool_directory(place.run_dir, name)),
        watched=units[watcher_unit(name)].active,
    )
    return found._replace(said=said(place.run, name)) if _is_suspicious(found, past) else found


def _is_suspicious(found: Evidence, past: Optional[Known]) -> bool:
    """Return whether the journal may explain something; reading it costs more than all the rest."""
    if not found.enabled or found.worker:
        return False
    calm = past is not None and past.condition in _QUIET and past.last_restarts == found.restarts
    return not calm or found.active_state != "active" or not found.listener or found.connections == 0


def said(run: Run, name: str, *, this_start: bool = False) -> str:
    """Return what the listener's last telling words in the journal mean, empty when there are none.

    With ``this_start`` only what it said since its unit was started last.
    """
    unit = instance_unit(name)
    which = f"--unit={unit}"
    if this_start:
        invocation = systemd.show(run, [unit], "Id,InvocationID")[unit].get("InvocationID", "")
        which = f"_SYSTEMD_INVOCATION_ID={invocation}"
    words = ["journalctl", "--output=cat", "--quiet", "--no-pager", f"--lines={_LINES}", which]
    return meaning(run(words, timeout_seconds=_JOURNAL_SECONDS).stdout)


def meaning(text: str) -> str:
    """Return the SAID_ word for the last line of ``text`` that means something, empty when none does."""
    for line in reversed(text.splitlines()):
        for words, meant in _SAYINGS:
            if words in line:
                return meant
    return ""


def log_mark(layout: Layout) -> str:
    """Return name and size of the listener's newest log, empty when there is none."""
    newest = ("", 0)
    with contextlib.suppress(OSError), os.scandir(layout.file("_diag")) as entries:
        for entry in entries:
            # The name has the time of the start in it.
            if entry.name.startswith("Runner_") and entry.name > newest[0]:
                newest = (entry.name, entry.stat(follow_symlinks=False).st_size)
    return f"{newest[0]}:{newest[1]}" if newest[0] else ""


def connections(proc: str, pid: int) -> Optional[int]:
    """Return how many established TCP connections process ``pid`` has, None when that cannot be read."""
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
    """Return whether a line of /proc/net/tcp (proc(5)) is an established connection of ``own`` sockets."""
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
