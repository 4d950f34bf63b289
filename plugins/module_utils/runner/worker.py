"""The listener and the worker of an instance, recognized by the kernel's data.

A worker is a running job; GitHub's ``busy`` is not asked. /proc is read here and not by psutil, which knows
no control groups and reads command lines whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple, Optional

from .layout import UNIT_TEMPLATE

WORKER = "Runner.Worker"
LISTENER = "Runner.Listener"
# Enough for the paths of an interpreter and its script. A job can make a command line of megabytes.
_MOST_BYTES = 16384


class Process(NamedTuple):
    """A process as /proc shows it; a field that cannot be read is empty."""

    pid: int
    executable: str
    arguments: tuple[str, ...]
    cgroup: str


def is_worker(process: Process, root: str, unit: str) -> bool:
    """Return whether ``process`` runs a job of the instance ``unit`` in ``root``."""
    return is_program(process, WORKER, root, unit)


def is_program(process: Process, name: str, root: str, unit: str) -> bool:
    """Return whether ``process`` is the program ``name`` of the instance in ``root``.

    Two things must be true. The process is the instance's: it is in the control group of ``unit``, or in that
    of no instance, because a person started the runner by hand. And it runs ``name`` from the instance's own
    ``bin``, or ``bin.<version>`` after the runner has updated itself. The path may be the executable, the
    first argument, or the second one, after an interpreter. In the unit it may be relative to ``root``, the
    unit's working directory.

    A job can call its processes what it likes, but it cannot leave its unit: it can imitate the worker of its
    own instance only.
    """
    split = [path.rpartition("/") for path in (process.executable, *process.arguments[:2])]
    places = [place for place, _slash, last in split if last == name]
    if not places:
        return False
    groups = {part for line in process.cgroup.splitlines() for part in line.split(":", 2)[-1].split("/")}
    in_unit = unit in groups
    if not in_unit and any(group.startswith(UNIT_TEMPLATE) for group in groups):
        return False
    if any(_is_bin(place, f"{root}/") or (in_unit and _is_bin(place, "")) for place in places):
        return True
    real = os.path.realpath(root)  # only now, because it asks the kernel for each part of the path
    return real != root and any(_is_bin(place, f"{real}/") for place in places)


def _is_bin(place: str, root: str) -> bool:
    return place == f"{root}bin" or place.startswith(f"{root}bin.")


def has_worker(root: str, unit: str, proc: str = "/proc") -> bool:
    """Return whether a job of the instance runs now."""
    return bool(workers(root, unit, proc))


def workers(root: str, unit: str, proc: str = "/proc") -> list[int]:
    """Return the process ids of the instance's worker."""
    return _running(WORKER, root, unit, proc)


def listeners(root: str, unit: str, proc: str = "/proc") -> list[int]:
    """Return the process ids of the instance's listener.

    Several only while it is being replaced.
    """
    return _running(LISTENER, root, unit, proc)


def _running(name: str, root: str, unit: str, proc: str) -> list[int]:
    return [process.pid for process in processes(proc) if is_program(process, name, root, unit)]


def processes(proc: str = "/proc") -> Iterator[Process]:
    """Yield every readable process, without threads of the kernel.

    A process that ends meanwhile is left out.
    """
    for entry in os.listdir(proc):
        if entry.isdigit():
            yield from read_process(int(entry), proc)


def read_process(pid: int, proc: str = "/proc", cgroup: Optional[str] = None) -> Iterator[Process]:
    """Yield process ``pid``, or nothing when it is gone or a thread of the kernel.

    ``cgroup`` is the content of its file of that name, where it is known already.
    """
    text = _read(f"{proc}/{pid}/cmdline")
    if text:
        group = _read(f"{proc}/{pid}/cgroup") if cgroup is None else cgroup
        yield Process(pid, _link(f"{proc}/{pid}/exe"), tuple(text.split("\0")), group)


def _read(path: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(descriptor, _MOST_BYTES).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
