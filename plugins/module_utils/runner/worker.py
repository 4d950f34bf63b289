"""Local evidence of a running job: a Runner.Worker process of the instance. GitHub's ``busy`` is not
asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from .layout import UNIT_TEMPLATE

WORKER = "Runner.Worker"
LISTENER = "Runner.Listener"
# Room for the paths of an interpreter and its script; a job makes command lines of megabytes if it likes.
_MOST_BYTES = 16384


class Process(NamedTuple):
    """What /proc tells of one process; empty where it is gone or not readable."""

    pid: int
    executable: str
    arguments: tuple[str, ...]
    cgroup: str


def is_worker(process: Process, root: str, unit: str) -> bool:
    """Return whether ``process`` runs a job of the instance that lies in ``root`` and runs as ``unit``."""
    return is_program(process, WORKER, root, unit)


def is_program(process: Process, name: str, root: str, unit: str) -> bool:
    """Return whether ``process`` is the program ``name`` of the instance in ``root`` that runs as ``unit``.

    The program may be the executable itself or a script's interpreter's argument; it belongs to the instance
    when systemd has it in the unit's control group, or when it lies in its directory and in no other
    instance's group: a job can call its processes what it likes, but none of them leaves its unit.
    """
    programs = [
        path for path in (process.executable, *process.arguments[:2]) if os.path.basename(path) == name
    ]
    if not programs:
        return False
    in_unit = any(
        line.rpartition("/")[2] == unit or f"/{unit}/" in line for line in process.cgroup.splitlines()
    )
    if in_unit or f"/{UNIT_TEMPLATE}" in process.cgroup:
        return in_unit
    return any(path.startswith(root + "/") for path in programs)


def has_worker(root: str, unit: str, proc: str = "/proc") -> bool:
    """Return whether a job of the instance runs now."""
    return any(True for _pid in _running(WORKER, root, unit, proc))


def workers(root: str, unit: str, proc: str = "/proc") -> list[int]:
    """Return the process ids of the instance's worker."""
    return list(_running(WORKER, root, unit, proc))


def listeners(root: str, unit: str, proc: str = "/proc") -> list[int]:
    """Return the process ids of the instance's listener; more than one only while it is being replaced."""
    return list(_running(LISTENER, root, unit, proc))


def _running(name: str, root: str, unit: str, proc: str) -> Iterator[int]:
    places = {root, os.path.realpath(root)}
    for process in processes(proc):
        if any(is_program(process, name, place, unit) for place in places):
            yield process.pid


def processes(proc: str = "/proc") -> Iterator[Process]:
    """Yield every process that can be read; one that ends meanwhile is left out."""
    for entry in os.listdir(proc):
        if not entry.isdigit():
            continue
        place = os.path.join(proc, entry)
        arguments = first_arguments(int(entry), proc)
        if not arguments:
            continue  # a kernel thread, or gone
        yield Process(
            int(entry),
            _link(os.path.join(place, "exe")),
            arguments,
            _read(os.path.join(place, "cgroup")),
        )


def first_arguments(pid: int, proc: str = "/proc") -> tuple[str, ...]:
    """Return the beginning of the command line of process ``pid``; empty for a kernel thread, or when it is
    gone.
    """
    text = _read(os.path.join(proc, str(pid), "cmdline"))
    return tuple(text.split("\0")) if text else ()


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_MOST_BYTES).decode(errors="replace")
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
