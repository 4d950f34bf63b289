"""All leases and all kernel locks of a store, with who holds them, for how long, and who waits."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from typing import Any, Callable, Optional

from .. import kernel_locks
from .. import lease as pure
from ..errors import CiError
from ..flock import occupied, process_start, read_note
from ..kernel_locks import KernelLock
from ..lease import Instant
from .clock import boottime, timestamp
from .durable import read_text, storage_error
from .layout import Layout
from .leases import now as clocks
from .survey import names_in

_MOST_TEXT = 200


def leases(store: str, *, clock: Callable[[], Instant] = clocks) -> list[dict[str, Any]]:
    """Return every lease in the store at the path ``store``, by name, also those that have run out.

    A lease file that cannot be understood is listed with its ``problem``. ``age_seconds`` counts from the
    last renewal and is None for a lease of an earlier boot. Raises CiError in one sentence.
    """
    layout, now = Layout(store), clock()
    found = []
    for name in _names(layout.area("leases")):
        if name.endswith(".json") and not name.startswith("."):
            item = _lease(layout.lease(name[: -len(".json")]), name[: -len(".json")], now)
            if item:
                found.append(item)
    return found


def _lease(path: str, name: str, now: Instant) -> Optional[dict[str, Any]]:
    try:
        text = read_text(path)
        if text is None:
            return None
        data = json.loads(text)
        lease = pure.decode(data if isinstance(data, dict) else {}, path)
    except OSError as error:
        return _damaged_lease(name, str(storage_error(f"reading the lease {name}", error)))
    except (ValueError, CiError):
        return _damaged_lease(name, f"the lease file {path} cannot be understood")
    left = pure.remaining_seconds(lease, now)
    same_boot = lease.boot_id == now.boot_id
    return {
        "name": name,
        "owner": lease.owner,
        "token": lease.token,
        "ttl_seconds": lease.ttl_seconds,
        "remaining_seconds": round(left, 3),
        "expired": left <= 0,
        "expires_at": timestamp(now.wall + left) if left > 0 else None,
        "age_seconds": round(now.boottime - lease.expires + lease.ttl_seconds, 3) if same_boot else None,
        "problem": None,
    }


def _damaged_lease(name: str, problem: str) -> dict[str, Any]:
    empty = ("owner", "token", "ttl_seconds", "remaining_seconds", "expired", "expires_at", "age_seconds")
    return {"name": name, **dict.fromkeys(empty), "problem": problem}


def locks(directories: Iterable[str]) -> list[dict[str, Any]]:
    """Return every lock file in ``directories`` that is held or waited for, by path.

    What is held is asked of the kernel by trying the lock for an instant; who holds it and who waits comes
    from /proc/locks, and since when and what for from the note that an exclusive holder leaves in the file.
    Raises CiError in one sentence.
    """
    everything = kernel_locks.snapshot()
    found = []
    for directory in directories:
        for name in _names(directory):
            path = os.path.join(directory, name)
            try:
                status = os.lstat(path)
            except OSError:
                continue  # gone since we listed it
            item = (
                _lock(path, kernel_locks.on_file(everything, status))
                if stat.S_ISREG(status.st_mode)
                else None
            )
            if item:
                found.append(item)
    return found


def _names(directory: str) -> list[str]:
    try:
        return names_in(directory)
    except OSError as error:
        raise storage_error(f"looking into {directory}", error) from error


def _lock(path: str, on_it: list[KernelLock]) -> Optional[dict[str, Any]]:
    mode = occupied(path)
    holders = [lock for lock in on_it if not lock.waiting]
    if mode == "unknown":
        mode = "" if not holders else "exclusive" if holders[0].exclusive else "shared"
    if not mode:
        return None
    note = _note(path) if mode == "exclusive" else {}
    pids = [lock.pid for lock in holders]
    # A note outlives its holder in the file, so it speaks only for a process that does hold the lock.
    current = not pids or note.get("pid") in pids
    return {
        "path": path,
        "name": os.path.basename(path)[: -len(".lock")] if path.endswith(".lock") else os.path.basename(path),
        "mode": mode,
        "purpose": _text(note, "purpose") if current else None,
        "since": _text(note, "since") if current else None,
        "age_seconds": _age_seconds(note) if current else None,
        "holders": [_process(lock) for lock in holders],
        "waiters": [_process(lock) for lock in on_it if lock.waiting],
    }


def _process(lock: KernelLock) -> dict[str, Any]:
    """Return one holder or waiter; ``running_seconds`` bounds how long it can have held or waited."""
    started = process_start(lock.pid)
    running = boottime() - started / os.sysconf("SC_CLK_TCK") if started else None
    return {
        "pid": lock.pid,
        "command": kernel_locks.process_name(lock.pid) or None,
        "shared": not lock.exclusive,
        "running_seconds": None if running is None else round(max(0.0, running), 2),
    }


def _text(note: dict[str, Any], key: str) -> Optional[str]:
    """Return what a note says under ``key``; in a directory for all, anybody may have written it."""
    return str(note[key])[:_MOST_TEXT] if key in note else None


def _note(path: str) -> dict[str, Any]:
    try:
        return read_note(path)
    except (OSError, ValueError):
        return {}


def _age_seconds(note: dict[str, Any]) -> Optional[float]:
    try:
        return round(max(0.0, boottime() - float(note["boottime"])), 3)
    except (KeyError, TypeError, ValueError):
        return None
