"""Reports about a store: contents, running downloads, leases and locks.

They change nothing.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from typing import Any, Callable, NamedTuple, Optional, Union

from ..errors import CiError
from ..host import kernel_locks, named_lock
from ..host.clock import boottime, timestamp
from ..host.durable import read_text, storage_error
from ..host.flock import occupied
from ..host.kernel_locks import KernelLock
from ..host.named_lock import Holder, LockState
from . import lease as leasing
from .index import Index
from .layout import Layout
from .lease import Instant
from .lease import now as clocks
from .trees import Tree, Uses, measure_disk, names_in, read_trees


class Description(NamedTuple):
    """The contents of a store, fit for JSON.

    ``artifacts`` are the refs with path, last use and protection; ``unreferenced`` the trees without a name;
    ``downloads`` what is being fetched, as its progress file states it.
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
    """Return the contents of the store at the path ``store``.

    Writes nothing. Raises CiError.
    """
    layout = Layout(store)
    if not layout.exists():
        return Description(layout.root, False, (), (), (), 0, 0, 0)
    try:
        index = Index(layout)
        trees = {tree.sha256: tree for tree in read_trees(layout, index)}
        uses = Uses(layout)
        disk = measure_disk(layout)
        artifacts = []
        for ref in index.refs().values():
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
            downloads=tuple(_downloads(layout, uses)),
            total_bytes=sum(tree.bytes for tree in trees.values()),
            disk_total_bytes=disk.total_bytes,
            disk_free_bytes=disk.free_bytes,
        )
    except OSError as error:
        raise storage_error(f"looking at the store {layout.root}", error) from error


def _downloads(layout: Layout, uses: Uses) -> list[dict[str, Any]]:
    """Return the progress of every digest that a process is fetching now."""
    progress = _progress_files(layout)
    return [{"sha256": sha256, **item} for sha256, item in progress if uses.of(sha256).fetching]


def _progress_files(layout: Layout) -> list[tuple[str, dict[str, Any]]]:
    """Return digest and content of every progress file; skips what cannot be read."""
    progress = []
    for name in names_in(layout.area("progress")):
        if name.endswith(".json") and not name.startswith("."):
            try:
                content = json.loads(read_text(layout.area("progress", name)) or "null")
            except (OSError, ValueError):
                continue
            if isinstance(content, dict):
                progress.append((name[: -len(".json")], content))
    return progress


def _shown(layout: Layout, tree: Tree) -> dict[str, Any]:
    return {
        "sha256": tree.sha256,
        "bytes": tree.bytes,
        "path": layout.tree(tree.sha256),
        "last_used": timestamp(tree.last_used),
        "in_use": tree.held or None,
    }


class ActiveDownload(NamedTuple):
    """A download or unpacking. ``alive`` is false when its process was killed.

    ``bytes_total`` and ``bytes_per_second`` are None while unknown, and so is ``remaining_seconds``. ``next``
    are the first names of the ``next_count`` that the same call fetches afterwards.
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


def active_downloads(layout: Layout) -> list[ActiveDownload]:
    """Return all downloads and unpackings of this moment; every user may call this."""
    try:
        progress = _progress_files(layout)
    except OSError:
        return []
    downloads = (_active_download(content) for _sha256, content in progress)
    return [download for download in downloads if download]


def _active_download(noted: dict[str, Any]) -> Optional[ActiveDownload]:
    """Return the state in a progress file, None for another content."""
    try:
        done, total, speed = int(noted["bytes_done"]), noted["bytes_total"], noted["bytes_per_second"]
        pid = int(noted["pid"])
        return ActiveDownload(
            name=str(noted["name"]),
            phase=str(noted["phase"]),
            bytes_done=done,
            bytes_total=total,
            bytes_per_second=speed,
            remaining_seconds=(total - done) / speed if total is not None and speed else None,
            pid=pid,
            alive=_is_alive(pid),
            next=tuple(str(name) for name in noted["next"]),
            next_count=int(noted["next_count"]),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _is_alive(pid: int) -> bool:
    """Tell whether process ``pid`` exists.

    This also answers where /proc hides the processes of other users.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def leases(store: str, *, clock: Callable[[], Instant] = clocks) -> list[dict[str, Any]]:
    """Return every lease in the store at the path ``store``, by name.

    Leases that have run out are among them. A lease file that cannot be understood is listed with its
    ``problem``. ``age_seconds`` counts from the last renewal and is None for a lease of an earlier boot.
    Raises CiError.
    """
    layout, now = Layout(store), clock()
    listed = []
    for name in _names(layout.area("leases")):
        if name.endswith(".json") and not name.startswith("."):
            item = _lease(layout.lease(name[: -len(".json")]), name[: -len(".json")], now)
            if item:
                listed.append(item)
    return listed


def _lease(path: str, name: str, now: Instant) -> Optional[dict[str, Any]]:
    try:
        text = read_text(path)
        if text is None:
            return None
        data = json.loads(text)
        lease = leasing.decode(data if isinstance(data, dict) else {}, path)
    except OSError as error:
        return _damaged_lease(name, str(storage_error(f"reading the lease {name}", error)))
    except (ValueError, CiError):
        return _damaged_lease(name, f"the lease file {path} cannot be understood")
    left = leasing.remaining_seconds(lease, now)
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
    """Return every lock file in ``directories`` that is held or awaited, by path.

    Whether it is held is tried on the lock itself; /proc/locks names holders and waiters. Raises CiError.
    """
    everything = kernel_locks.snapshot()
    listed = []
    for directory in directories:
        for name in _names(directory):
            path = os.path.join(directory, name)
            if name == named_lock.FILE:
                listed += [_named(path, state) for state in named_lock.listed(directory)]
                continue
            try:
                status = os.lstat(path)
            except OSError:
                continue  # removed since we listed it
            on_it = kernel_locks.on_file(everything, status)
            item = _lock(path, on_it) if stat.S_ISREG(status.st_mode) else None
            if item:
                listed.append(item)
    return listed


def _names(directory: str) -> list[str]:
    try:
        return names_in(directory)
    except OSError as error:
        raise storage_error(f"listing {directory}", error) from error


def _lock(path: str, on_it: list[KernelLock]) -> Optional[dict[str, Any]]:
    mode = occupied(path)
    holders = [lock for lock in on_it if not lock.waiting]
    if mode == "unknown":
        mode = "" if not holders else "exclusive" if holders[0].exclusive else "shared"
    if not mode:
        return None
    name = os.path.basename(path)
    return {
        "path": path,
        "name": name[: -len(".lock")] if name.endswith(".lock") else name,
        "mode": mode,
        "holders": [_process(lock) for lock in holders],
        "waiters": [_process(lock) for lock in on_it if lock.waiting],
    }


def _named(path: str, state: LockState) -> dict[str, Any]:
    exclusive = any(holder.exclusive for holder in state.holders)
    return {
        "path": path,
        "name": state.name,
        "mode": "exclusive" if exclusive else "shared",
        "holders": [_process(holder) for holder in state.holders],
        "waiters": [_process(waiter) for waiter in state.waiters],
    }


def _process(lock: Union[KernelLock, Holder]) -> dict[str, Any]:
    """Return one holder or waiter.

    It has held or waited for at most ``running_seconds``.
    """
    started = kernel_locks.process_start(lock.pid)
    running = boottime() - started / os.sysconf("SC_CLK_TCK") if started else None
    return {
        "pid": lock.pid,
        "command": kernel_locks.process_name(lock.pid) or None,
        "shared": not lock.exclusive,
        "running_seconds": None if running is None else round(max(0.0, running), 2),
    }
