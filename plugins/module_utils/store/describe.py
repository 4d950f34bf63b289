"""A store told to people and programs: what is in it, what was used when, and what is under way.

What is on its way into a store, for people and programs that only look; any user may.

All leases and all kernel locks of a store, with who holds them, for how long, and who waits.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from typing import Any, Callable, NamedTuple, Optional

from ..errors import CiError
from ..host import kernel_locks
from ..host.clock import boot_id, boottime, timestamp
from ..host.durable import read_text, storage_error
from ..host.flock import occupied, process_start, read_note
from ..host.kernel_locks import KernelLock
from . import lease as pure
from .layout import Layout
from .lease import Instant
from .lease import now as clocks
from .records import Records
from .trees import Disk, Tree, Uses, measure_disk, names_in, read_trees


class Description(NamedTuple):
    """What a store holds, fit for JSON.

    ``artifacts`` are the refs with path, last use and protection; ``unreferenced`` the trees that no name
    refers to; ``downloads`` what is being fetched, as far as it tells of itself.
    """

    store: str
    exists: bool
    artifacts: tuple[dict[str, Any], ...]
    unreferenced: tuple[dict[str, Any], ...]
    downloads: tuple[dict[str, Any], ...]
    total_bytes: int
    disk_total_bytes: int
    disk_free_bytes: int


def describe(store: str) -> Description:
    """Return what is in the store at the path ``store``; writes nothing. Raises CiError in one sentence."""
    layout = Layout(store)
    if not layout.exists():
        return Description(layout.root, False, (), (), (), 0, 0, 0)
    try:
        records = Records(layout, boot_id())
        trees = {tree.sha256: tree for tree in read_trees(layout, records)}
        uses = Uses(layout)
        disk: Disk = measure_disk(layout)
        artifacts = []
        for ref in records.refs().values():
            tree = trees.get(ref.sha256)
            artifacts.append(
                {
                    **ref._asdict(),
                    "link": ref.link or None,
                    "path": layout.tree(ref.sha256) if tree else None,
                    "last_used": timestamp(tree.last_used) if tree else None,
                    "in_use": uses.of(ref.sha256).text or None,
                }
            )
        return Description(
            store=layout.root,
            exists=True,
            artifacts=tuple(artifacts),
            unreferenced=tuple(_shown(layout, tree) for tree in trees.values() if not tree.names),
            downloads=tuple(downloads(layout)),
            total_bytes=sum(tree.bytes for tree in trees.values()),
            disk_total_bytes=disk.total_bytes,
            disk_free_bytes=disk.free_bytes,
        )
    except OSError as error:
        raise storage_error(f"looking at the store {layout.root}", error) from error


def downloads(layout: Layout) -> list[dict[str, Any]]:
    """Return what is being fetched now: what its progress file says, for digests that a process has."""
    uses = Uses(layout)
    found = []
    for name in names_in(layout.area("progress")):
        sha256, _dot, ending = name.partition(".")
        if ending != "json" or not uses.of(sha256).fetching:
            continue
        try:
            progress = json.loads(read_text(layout.progress(sha256)) or "null")
        except ValueError:
            continue
        if isinstance(progress, dict):
            found.append({"sha256": sha256, **progress})
    return found


def _shown(layout: Layout, tree: Tree) -> dict[str, Any]:
    return {
        "sha256": tree.sha256,
        "bytes": tree.bytes,
        "path": layout.tree(tree.sha256),
        "last_used": timestamp(tree.last_used),
        "in_use": tree.held or None,
    }


class Flight(NamedTuple):
    """A download or unpacking. ``alive`` is false when its process has ended without a word.

    ``bytes_total`` and ``bytes_per_second`` are None while unknown, and so is ``remaining_seconds``. ``next``
    are the first names of the ``next_count`` that the same call will fetch afterwards.
    """

    name: str
    phase: str
    bytes_done: int
    bytes_total: Optional[int]
    bytes_per_second: Optional[int]
    remaining_seconds: Optional[float]
    pid: int
    alive: bool
    next: tuple[str, ...] = ()
    next_count: int = 0


def in_flight(layout: Layout) -> list[Flight]:
    """Return what is being downloaded or unpacked at this moment."""
    directory = layout.area("progress")
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".json") and name[0] != ".")
    except OSError:
        return []
    found = (_read(os.path.join(directory, name)) for name in names)
    return [one for one in found if one]


def _read(path: str) -> Optional[Flight]:
    """Return the state in the file ``path``, None when it was over since it was listed."""
    try:
        with open(path, encoding="utf-8") as stream:
            return flight(json.load(stream))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def flight(noted: dict[str, Any]) -> Flight:
    """Return the state in a progress file. Raises KeyError, TypeError or ValueError for another content."""
    done, total, speed = int(noted["bytes_done"]), noted["bytes_total"], noted["bytes_per_second"]
    remaining = (total - done) / speed if total is not None and speed else None
    pid = int(noted["pid"])
    return Flight(
        name=str(noted["name"]),
        phase=str(noted["phase"]),
        bytes_done=done,
        bytes_total=total,
        bytes_per_second=speed,
        remaining_seconds=remaining,
        pid=pid,
        alive=_is_alive(pid),
        next=tuple(str(name) for name in noted["next"]),
        next_count=int(noted["next_count"]),
    )


def _is_alive(pid: int) -> bool:
    """Tell whether process ``pid`` exists; this also answers where /proc hides other users' processes."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


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
