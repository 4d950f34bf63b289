"""Bound the disk space of a job: measure it while the job runs, and end a job that takes more.

The bound is the unit's LimitFSIZE= (runner/pool.py), by which the kernel also limits each single file. The
sum of all files has no limit of the kernel that every file system can set.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from typing import Callable, NamedTuple, Optional

from ...errors import CiError
from ...host import systemd
from ...host.occupied import tree_bytes, unlinked_bytes
from ...host.sizes import size
from ...runner.account import Host
from ...runner.fresh_start import registered_work_directory
from ...runner.instance_records import OVERFULL, write_record
from ...runner.layout import Layout, instance_unit
from ...runner.worker import job_processes, processes, programs

Say = Callable[[str], None]

# The pause between two measurements: a walk over 100,000 files takes a second, so this is 5 % of a core.
_PAUSE_SECONDS = 5.0
_PAUSE_FACTOR = 20.0
# A measurement of more files than this time allows gives what it has counted.
_LONGEST_SECONDS = 120.0
# The part of the host's directory that systemd shows to a unit as its own /tmp or /var/tmp.
_PRIVATE = "/systemd-private-"
# The listener reports the lost job to GitHub meanwhile, and ends.
_REPORT_SECONDS = 20.0
_KILL_PAUSE_SECONDS = 0.2


class Measured(NamedTuple):
    """A measurement: when it ended, how long it took, its sum, and the free bytes then."""

    at: float
    seconds: float
    total: int
    free: int


def is_due(last: Optional[Measured], now: float, free: int, bound: int) -> bool:
    """Return whether to measure again, ``now`` with ``free`` bytes.

    That is after a pause in proportion to the last measurement, or at once if the job may have written all
    that it was still allowed to.
    """
    if last is None:
        return True
    pause = max(_PAUSE_SECONDS, _PAUSE_FACTOR * last.seconds)
    return now - last.at >= pause or last.free - free > bound - last.total


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

    def is_exceeded(self, worker: int) -> bool:
        """Return whether the files of the job of the process ``worker`` take too much."""
        try:
            status = os.statvfs(self._root)
        except OSError:  # the instance is gone
            return False
        now, free = self._host.now(), status.f_bavail * status.f_frsize
        if is_due(self._last, now, free, self._limit):
            total = self._measure(worker, now + _LONGEST_SECONDS)
            ended = self._host.now()
            self._last = Measured(ended, ended - now, total, free)
        return self._last is not None and self._last.total > self._limit

    def _measure(self, worker: int, deadline: float) -> int:
        total = 0

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

    def end_job(self) -> None:
        """End the job; its listener reports the failure to GitHub.

        Nothing of the job is kept for the next one, because that may be what takes the space.
        """
        reason = f"its files take more than {size(self._limit)}, the disk_gib of its resource class"
        write_record(self._layout, OVERFULL, {"at": time.time(), "reason": reason})
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


def _private_mounts(mountinfo: str) -> list[str]:
    """Return where a unit's private temporary directories are: proc(5), systemd.exec(5)."""
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
