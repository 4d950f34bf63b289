"""Local evidence of a running job: a Runner.Worker process of the instance. GitHub's ``busy`` is not
asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

WORKER = "Runner.Worker"
LISTENER = "Runner.Listener"


class Process(NamedTuple):
    """What /proc tells of one process; empty where it is gone or not readable."""

    pid: int
    executable: str
    arguments: tuple[str, ...]
    cgroup: str


def is_worker(process: Process, root: str, unit: str) -> bool:
    """Return whether ``process`` runs a job of the instance that lies in ``root`` and runs as ``unit``."""
    return is_program(process, root, unit, WORKER)


def is_program(process: Process, root: str, unit: str, name: str) -> bool:
    """Return whether ``process`` is the instance's ``name``, WORKER or LISTENER.

    The program may be the executable itself or a script's interpreter's argument; it belongs to the instance
    when it lies in its directory, or when systemd has it in the unit's control group.
    """
    programs = [
        path for path in (process.executable, *process.arguments[:2]) if os.path.basename(path) == name
    ]
    if not programs:
        return False
    in_unit = any(
        line.rpartition("/")[2] == unit or f"/{unit}/" in line for line in process.cgroup.splitlines()
    )
    return in_unit or any(path.startswith(root + "/") for path in programs)


def has_worker(root: str, unit: str, proc: str = "/proc") -> bool:
    """Return whether a job of the instance runs now."""
    return bool(find(root, unit, WORKER, processes(proc)))


def find(root: str, unit: str, name: str, seen: Iterable[Process]) -> list[int]:
    """Return the process ids of the instance's ``name``, WORKER or LISTENER, among the processes ``seen``."""
    places = (root, os.path.realpath(root))
    return [
        process.pid for process in seen if any(is_program(process, place, unit, name) for place in places)
    ]


def processes(proc: str = "/proc") -> Iterator[Process]:
    """Yield every process that can be read; one that ends meanwhile is left out."""
    for entry in os.listdir(proc):
        if not entry.isdigit():
            continue
        place = os.path.join(proc, entry)
        arguments = _read(os.path.join(place, "cmdline")).split("\0")
        if arguments == [""]:
            continue  # a kernel thread, or gone
        yield Process(
            int(entry),
            _link(os.path.join(place, "exe")),
            tuple(arguments),
            _read(os.path.join(place, "cgroup")),
        )


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
