"""The listener and the worker of an instance, recognized by the kernel's data.

A worker is a running job; GitHub's ``busy`` is not asked. /proc is read here and not by psutil, which knows
no control groups and reads command lines whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Optional

from .layout import UNIT_TEMPLATE

WORKER = "Runner.Worker"
LISTENER = "Runner.Listener"
# Enough for the paths of an interpreter and its script. A job can make a command line of megabytes.
_MOST_BYTES = 16384


class Process(NamedTuple):
    """A process as /proc shows it; a field that cannot be read is empty or 0.

    ``started`` is in clock ticks since boot.
    """

    pid: int
    executable: str
    arguments: tuple[str, ...]
    cgroup: str
    parent: int = 0
    started: int = 0


class Programs(NamedTuple):
    """The process ids of an instance's listeners and workers.

    Several listeners only while one is replaced, and while a worker is between fork and exec.
    """

    listeners: list[int]
    workers: list[int]


def programs(seen: Iterable[Process], root: str, unit: str) -> Programs:
    """Return the listeners and workers of the instance ``unit`` in ``root``.

    A job can start a process with any name, but it cannot choose its ancestors. In the unit, a listener
    descends from the main process with no worker in between, and a worker is a child of such a listener. The
    main process is the oldest of the unit. An orphan of a job has a parent outside of the unit too, but it is
    younger. Without the unit's control group a person started the runner, and its name is enough.
    """
    everything = list(seen)
    candidates = list(filter(_has_a_programs_name, everything))  # of a thousand, a few are
    listeners = [each for each in candidates if is_program(each, LISTENER, root, unit)]
    workers = [each for each in candidates if is_program(each, WORKER, root, unit)]
    if not listeners and not workers:
        return Programs([], [])
    members = {each.pid: each for each in everything if _is_in(each, unit)}
    below = {each.pid for each in workers}
    proven = {
        each.pid for each in listeners if each.pid not in members or _is_main_line(each, members, below)
    }
    return Programs(
        [each.pid for each in listeners if each.pid in proven],
        [each.pid for each in workers if each.pid not in members or each.parent in proven],
    )


def job_processes(seen: Iterable[Process], root: str, unit: str) -> list[int]:
    """Return the process ids of a job, also of those that left its worker.

    In the unit, that is every process but the listener and its ancestors.
    """
    everything = list(seen)
    listeners, workers = programs(everything, root, unit)
    members = {each.pid: each.parent for each in everything if _is_in(each, unit)}
    spared: set[int] = set()
    for listener in listeners:
        pid = listener
        while pid in members and pid not in spared:
            spared.add(pid)
            pid = members[pid]
    return sorted(set(workers).union(members) - spared)


def _has_a_programs_name(process: Process) -> bool:
    return any(path.endswith((LISTENER, WORKER)) for path in (process.executable, *process.arguments[:2]))


def _is_main_line(process: Process, members: dict[int, Process], workers: set[int]) -> bool:
    """Return whether ``process`` descends from the oldest of ``members``.

    None of ``workers`` may be in between.
    """
    seen: set[int] = set()
    while process.parent in members and process.pid not in seen:
        seen.add(process.pid)
        process = members[process.parent]
        if process.pid in workers:
            return False
    return process.started <= min(each.started for each in members.values())


def _is_in(process: Process, unit: str) -> bool:
    return unit in _groups(process)


def _groups(process: Process) -> set[str]:
    return {part for line in process.cgroup.splitlines() for part in line.split(":", 2)[-1].split("/")}


def is_program(process: Process, name: str, root: str, unit: str) -> bool:
    """Return whether ``process`` is called like ``name`` of the instance in ``root``.

    Two things must be true. The process is the instance's: it is in the control group of ``unit``, or in that
    of no instance, because a person started the runner by hand. And it runs ``name`` from the instance's own
    ``bin``, or ``bin.<version>`` after the runner has updated itself. The path may be the executable, the
    first argument, or the second one, after an interpreter. In the unit it may be relative to ``root``, the
    unit's working directory.

    A job can call its processes what it likes, but it cannot leave its unit: it can imitate the programs of
    its own instance only. ``programs`` rejects these.
    """
    split = [path.rpartition("/") for path in (process.executable, *process.arguments[:2])]
    places = [place for place, _slash, last in split if last == name]
    if not places:
        return False
    groups = _groups(process)
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
    return programs(processes(proc), root, unit).workers


def listeners(root: str, unit: str, proc: str = "/proc") -> list[int]:
    """Return the process ids of the instance's listener, see ``Programs``."""
    return programs(processes(proc), root, unit).listeners


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
        # The name in parentheses may hold anything; the 2nd and 20th fields after it: proc_pid_stat(5).
        fields = _read(f"{proc}/{pid}/stat").rpartition(")")[2].split()
        parent, started = (int(fields[1]), int(fields[19])) if len(fields) > 19 else (0, 0)
        yield Process(pid, _link(f"{proc}/{pid}/exe"), tuple(text.split("\0")), group, parent, started)


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
