"""Bound the disk space of a job: measure it, and end a job that takes more.

If the disk is almost full, root ends the job that takes the most. The bound is the unit's LimitFSIZE=
(runner/pool.py), by which the kernel also limits each single file. The sum of all files has a limit of the
kernel only on file systems with quotas.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from typing import Any, Callable, NamedTuple, Optional

from ...errors import CiError
from ...host import systemd
from ...host.occupied import tree_bytes, unlinked_bytes
from ...host.sizes import size
from ...host.sweep import TRASH
from ...runner.account import Host
from ...runner.fresh_start import registered_work_directory
from ...runner.instance_records import OVERFULL, read_record, write_record
from ...runner.layout import Layout, instance_layout, instance_unit
from ...runner.worker import job_processes, processes, programs, workers
from .look import instance_names

Say = Callable[[str], None]

# The pause between two measurements: a walk over 100,000 files takes a second, so this is 5 % of a core.
_PAUSE_SECONDS = 5.0
_PAUSE_FACTOR = 20.0
# A measurement of more files than this time allows gives what it has counted.
_LONGEST_SECONDS = 120.0
# The part of the host's directory that systemd shows to a unit as its own /tmp or /var/tmp.
_PRIVATE = "/systemd-private-"
_GIB = 2**30
# Below this, a file system is short of space; or of inodes, below the share.
_LEAST_FREE_BYTES = _GIB
_LEAST_FREE_SHARE = 0.02
# Root removes the files of an ended job meanwhile, and ends no other for want of space.
_EMPTYING_SECONDS = 60.0
_SHOWN_SECONDS = 3600.0
# The listener reports the lost job to GitHub meanwhile, and ends.
_REPORT_SECONDS = 20.0
_KILL_PAUSE_SECONDS = 0.2


class Space(NamedTuple):
    """The space of a file system: ``size`` and ``free`` in bytes, and its inodes.

    A file system that makes inodes as it needs them has 0 ``files``.
    """

    size: int
    free: int
    files: int = 0
    free_files: int = 0

    @property
    def least(self) -> float:
        """The bytes that should stay free."""
        return min(_LEAST_FREE_BYTES, self.size * _LEAST_FREE_SHARE)

    @property
    def is_short(self) -> bool:
        """Whether programs will soon fail for want of space or of inodes."""
        return self.free < self.least or self.free_files < self.files * _LEAST_FREE_SHARE


class Measured(NamedTuple):
    """A measurement: when it ended, how long it took, its sum, and the space then."""

    at: float
    seconds: float
    total: int
    space: Space


def is_due(last: Optional[Measured], now: float, space: Space, bound: int) -> bool:
    """Return whether to measure again.

    That is after a pause in proportion to the last measurement. It is at once if the job may have written all
    that it was still allowed to, or if the space has become short.
    """
    if last is None:
        return True
    pause = max(_PAUSE_SECONDS, _PAUSE_FACTOR * last.seconds)
    return (
        now - last.at >= pause
        or last.space.free - space.free > bound - last.total
        or (space.is_short and not last.space.is_short)
    )


class Bound:
    """The bound of the job of one instance; ``limit`` is in bytes."""

    def __init__(self, host: Host, layout: Layout, name: str, limit: int, say: Say) -> None:
        self._host = host
        self._layout = layout
        self._name = name
        self._unit = instance_unit(name)
        self._root = os.path.realpath(layout.root)
        self._limit = limit
        self._say = say
        self._last: Optional[Measured] = None

    def reason_to_end(self, worker: int) -> str:
        """Return why the job of the process ``worker`` must end, empty if it may go on."""
        try:
            space = space_of(self._root)
        except OSError:  # the instance is gone
            return ""
        now = self._host.now()
        if not is_due(self._last, now, space, self._limit):
            return ""
        total = self.occupied(worker)
        ended = self._host.now()
        self._last = Measured(ended, ended - now, total, space)
        if total > self._limit:
            return (
                f"its files take more than {self._limit / _GIB:.3g} GiB, the disk_gib of its resource class"
            )
        # The end of a small job would not help.
        if space.is_short and total > space.least and self._takes_most(total):
            return f"the disk is almost full, and of all jobs its files take the most ({size(total)})"
        return ""

    def occupied(self, worker: int) -> int:
        """Return the bytes that the files of the job take, or of too many a part."""
        total, deadline = 0, self._host.now() + _LONGEST_SECONDS

        def enough(part: int) -> bool:
            return total + part > self._limit or self._host.now() > deadline

        keeper = os.geteuid()
        for path in self._places(worker):
            with contextlib.suppress(OSError):
                total += tree_bytes(path, keeper, enough)
        pids = job_processes(processes(self._host.proc), self._root, self._unit)
        return total + unlinked_bytes(pids, enough, self._host.proc)

    def _places(self, worker: int) -> Iterator[str]:
        """Yield the directories in which the job can write."""
        yield self._layout.root
        work_dir = registered_work_directory(self._layout)
        if os.path.isabs(work_dir):
            yield work_dir
        for point in _private_mounts(f"{self._host.proc}/{worker}/mountinfo"):
            yield f"{self._host.proc}/{worker}/root{point}"

    def _takes_most(self, total: int) -> bool:
        """Return whether no other job takes more, and root frees no space already."""
        base = os.path.dirname(self._layout.root)
        for name in instance_names(base):
            layout = instance_layout(base, name)
            if name == self._name:
                continue
            if _is_emptied(layout):
                return False
            other = Bound(self._host, layout, name, total, self._say)
            pids = workers(layout.root, instance_unit(name), self._host.proc)
            if any(other.occupied(pid) > total for pid in pids):
                return False
        return True

    def end_job(self, reason: str) -> None:
        """End the job; its listener reports the failure to GitHub.

        Nothing of the job is kept for the next one, because that may be what takes the space.
        """
        with contextlib.suppress(CiError, OSError):  # on a full disk, to end the job is what helps
            write_record(self._layout, OVERFULL, {"at": time.time(), "reason": reason, "wiped": False})
        self._say(f"{self._name}: root ended the job, because {reason}")
        if self._kill_until_reported():
            return
        # The job has stopped its listener, or GitHub does not answer. systemd starts the next one.
        done = self._host.run(["systemctl", "kill", "--signal=SIGKILL", self._unit])
        if done.status != 0:
            self._say(f"{self._name}: its unit could not be ended: {' '.join(done.stderr.split())[:300]}")

    def _kill_until_reported(self) -> bool:
        """Kill the job's processes until its listener has ended; return whether it has.

        The next listener and its preparation are spared: they start after that.
        """
        deadline = self._host.now() + _REPORT_SECONDS
        reporting: Optional[set[int]] = None
        while reporting != set() and self._host.now() < deadline:
            seen = list(processes(self._host.proc))
            alive = set(programs(seen, self._root, self._unit).listeners)
            if reporting and not reporting & alive:
                return True
            reporting = alive if reporting is None else reporting & alive
            for pid in job_processes(seen, self._root, self._unit):
                with contextlib.suppress(ProcessLookupError):
                    self._host.kill(pid, signal.SIGKILL)
            self._host.sleep(_KILL_PAUSE_SECONDS)
        return False


def space_of(path: str) -> Space:
    """Return the space that is left for jobs on the file system of ``path``."""
    status = os.statvfs(path)
    unit = status.f_frsize
    return Space(status.f_blocks * unit, status.f_bavail * unit, status.f_files, status.f_favail)


def _is_emptied(layout: Layout) -> bool:
    """Return whether root has just ended a job there, or still deletes files of one."""
    if 0 <= time.time() - _ended_at(read_record(layout, OVERFULL)) < _EMPTYING_SECONDS:
        return True
    with contextlib.suppress(OSError), os.scandir(layout.record(TRASH)) as entries:
        return any(True for _ in entries)
    return False


def _ended_at(record: Mapping[str, Any]) -> float:
    at = record.get("at")
    return at if isinstance(at, float) else 0.0


class Ended(NamedTuple):
    """A job that root ended at ``at`` (Unix seconds)."""

    instance: str
    at: float
    reason: str


def ended_jobs(base_dir: str, now: float) -> list[Ended]:
    """Return the last job of each instance that root ended within the last hour."""
    records = {
        name: read_record(instance_layout(base_dir, name), OVERFULL) for name in instance_names(base_dir)
    }
    return [
        Ended(name, _ended_at(record), str(record.get("reason")))
        for name, record in records.items()
        if 0 <= now - _ended_at(record) < _SHOWN_SECONDS
    ]


def _private_mounts(mountinfo: str) -> list[str]:
    """Return where a unit's private temporary directories are (systemd.exec(5))."""
    with contextlib.suppress(OSError), open(mountinfo, encoding="utf-8", errors="replace") as lines:
        mounts = [line.split() for line in lines]
        return [fields[4] for fields in mounts if _PRIVATE in fields[3]]
    return []


def bound_for(host: Host, layout: Layout, name: str, say: Say) -> Optional[Bound]:
    """Return the bound of the instance ``name``, None without one."""
    unit = instance_unit(name)
    try:
        limit = systemd.show(host.run, [unit], "Id,LimitFSIZE")[unit].get("LimitFSIZE", "")
    except CiError as error:
        say(f"The job of {name} runs without a bound of its disk space: {error}")
        return None
    return Bound(host, layout, name, int(limit), say) if limit.isdigit() else None
