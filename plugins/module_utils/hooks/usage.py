"""What a runner's unit has used so far, as its control group accounts it (the kernel's cgroup-v2.rst)."""

from __future__ import annotations

import os
from typing import NamedTuple, Optional

from ..runner.naming import UNIT_TEMPLATE

_TREE = "/sys/fs/cgroup"


class Usage(NamedTuple):
    """``peak_memory_bytes`` is the most since the unit started; None where the kernel or the sandbox keeps a
    figure back.
    """

    cpu_seconds: Optional[float] = None
    peak_memory_bytes: Optional[int] = None


def read_usage(proc: str = "/proc/self", tree: str = _TREE) -> Usage:
    """Return what the unit of this process has used."""
    path = unit_path(_read(os.path.join(proc, "cgroup")))
    if not path:
        return Usage()
    place = os.path.join(tree, path.lstrip("/"))
    counters = dict(line.partition(" ")[::2] for line in _read(os.path.join(place, "cpu.stat")).splitlines())
    microseconds = _number(counters.get("usage_usec", ""))
    peak = _number(_read(os.path.join(place, "memory.peak")))
    return Usage(None if microseconds is None else microseconds / 1e6, peak)


def unit_path(text: str) -> str:
    """Return the control group of the runner's unit in ``text`` (/proc/PID/cgroup), empty when there is none.

    A job may lie in a group below its unit's.
    """
    for line in text.splitlines():
        if line.startswith("0::"):
            parts = line[3:].split("/")
            for count, part in enumerate(parts, 1):
                if part.startswith(UNIT_TEMPLATE):
                    return "/".join(parts[:count])
    return ""


def used_between(before: Usage, after: Usage) -> Usage:
    """Return what a job used, from the readings at its start and at its end.

    The kernel keeps one peak for the whole life of the unit. When it did not rise during this job, all that
    is known is that the job stayed below it, and the answer is None.
    """
    cpu = None
    if before.cpu_seconds is not None and after.cpu_seconds is not None:
        cpu = round(max(0.0, after.cpu_seconds - before.cpu_seconds), 3)
    peak = after.peak_memory_bytes
    rose = peak is not None and peak > (before.peak_memory_bytes or 0)
    return Usage(cpu, peak if rose else None)


def _number(text: str) -> Optional[int]:
    return int(text) if text.strip().isdigit() else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
