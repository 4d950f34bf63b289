"""Keeping descriptors open until another process ends: how a lock lives exactly as long as a job.

A small process of its own holds them. It watches the other one by a pidfd, so it is woken at its end and
can never mistake a later process of the same number for it; and whatever ends the holder, the kernel frees
the lock.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Sequence
from typing import NamedTuple

from .errors import CiError

WORKER = "Runner.Worker"
_MOST_ANCESTORS = 64


class Process(NamedTuple):
    """A process by number and short name."""

    pid: int
    name: str


def parent_of(pid: int) -> tuple[str, int]:
    """Return the short name of ``pid`` and its parent's number, 0 when it cannot be seen."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            before, _paren, after = stream.read().rpartition(")")
        return before.partition("(")[2], int(after.split()[1])
    except (OSError, IndexError, ValueError):
        return "", 0


def job_process(start: int) -> Process:
    """Return the process whose life is the job's: the runner's worker above ``start``, else ``start`` itself.

    ``start`` is the caller's parent, for example the shell of a script. Raises CiError when that is no
    process that ends before the machine does.
    """
    pid = start
    for _generation in range(_MOST_ANCESTORS):
        name, above = parent_of(pid)
        if name == WORKER:
            return Process(pid, name)
        if above <= 1:
            break
        pid = above
    if start <= 1:
        raise CiError(
            "there is no job to hold for, because the process that started this one has ended; give the "
            "command after '--', or name a process with --hold-pid."
        )
    return Process(start, parent_of(start)[0])


def hold_until(pid: int, descriptors: Sequence[int]) -> int:
    """Keep ``descriptors`` open in a new process until process ``pid`` has ended; returns the new one's pid.

    The new process keeps nothing else: no stream of ours, no other descriptor, no working directory. Raises
    CiError when there is no such process.
    """
    try:
        watched = os.pidfd_open(pid)
    except OSError as error:
        raise CiError(
            f"process {pid} cannot be held for ({error.strerror}); name a running one with --hold-pid."
        ) from error
    holder = os.fork()
    if holder:
        os.close(watched)
        return holder
    try:
        _hold(watched, descriptors)
    finally:
        os._exit(0)


def _hold(watched: int, descriptors: Sequence[int]) -> None:
    os.setsid()
    os.chdir("/")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    null = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    edge = 3
    for kept in sorted((watched, *descriptors)):
        os.closerange(edge, kept)
        edge = kept + 1
    os.closerange(edge, os.sysconf("SC_OPEN_MAX"))
    end = select.poll()
    end.register(watched, select.POLLIN)
    end.poll()
