"""The results of an instance's jobs, from its listener's lines in the journal.

A job has the same user and unit, so it can write the same lines. The journal records the process of every
line, and only lines of the listener that systemd started count.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Iterator
from typing import Callable, Optional

from ...errors import CiError
from ...host import systemd
from ...runner.account import Host
from ...runner.layout import Layout, instance_unit
from ...runner.worker import listeners, workers
from ..history.endings import Ending, leave
from .journal import JOB, Line, beginning, latest, line_of, starts

# GitHub's result by the runner's (actions/runner 2.336.0). A job is "Abandoned" when GitHub no longer lets
# the runner renew it. Then GitHub alone decides the result.
_RESULTS = {
    "Succeeded": "success",
    "SucceededWithIssues": "success",
    "Failed": "failure",
    "Canceled": "cancelled",
    "Skipped": "skipped",
}
_STAMP = r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}Z: "
_STARTED = re.compile(rf"{_STAMP}{JOB}(.*)", re.DOTALL)
# The greedy prefix skips a job's name, which may contain the same words.
_ENDED = re.compile(r".* completed with result: (\w+)\s*", re.DOTALL)
_JOB_LINE = re.compile(rf"{_STAMP}Job ")
# The journal splits a job's name of several lines. All parts of one message come within this time.
_MOMENT_SECONDS = 1.0
# A watcher that starts after the end of the job looks back this long. Healing starts one within a minute.
_LOOK_BACK_SECONDS = 180.0
# The most lives of listeners to look at: a job that fails at once takes some seconds with the next start.
_MOST_STARTS = 40
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.2
_JOURNAL_SECONDS = 10.0
_LINES = 200
# GitHub lets no job of a self-hosted runner last longer.
_LONGEST_JOB_SECONDS = 5 * 86400.0


def known_listeners(host: Host, layout: Layout, unit: str, say: Callable[[str], None]) -> set[int]:
    """Return ``own_listeners``; on an error call ``say`` and return an empty set."""
    try:
        return own_listeners(host, layout, unit)
    except CiError as error:
        say(str(error))
        return set()


def hand_on(
    host: Host,
    run_dir: str,
    name: str,
    pids: Collection[int],
    since: Optional[float],
    say: Callable[[str], None],
) -> None:
    """Leave the results of jobs for the history; ``say`` an error.

    A job that this did not see, because it ended within a moment, may be that of a listener which has ended
    too.
    """
    unit = instance_unit(name)
    try:
        known = wait_for_endings(host, name, unit, pids, since) if pids else []
        if since is None:
            known += past_endings(host, name, unit)
        for ending in known:
            if ending.result:
                leave(run_dir, ending)
    except CiError as error:
        say(str(error))


def past_endings(host: Host, name: str, unit: str) -> list[Ending]:
    """Return the latest results from listeners of the last minutes, which may have ended."""
    earliest, now = time.time() - _LOOK_BACK_SECONDS, time.time()
    known: list[Ending] = []
    for start in starts(host.run, unit, _MOST_STARTS):
        own = beginning(host.run, start)
        if own and JOB in own[-1].text:
            lines = latest(host.run, [start.field], {line.pid for line in own}, _LINES)
            known += [each for each in endings(name, lines) if earliest <= each.at <= now]
        if start.at < earliest:
            break
    return known


def own_listeners(host: Host, layout: Layout, unit: str) -> set[int]:
    """Return the process ids of the unit's own listener.

    A job can start a program of that name. The real listener descends from the unit's main process without
    another program of the runner in between. Raises CiError when systemd does not answer.
    """
    shown = systemd.show(host.run, [unit], "Id,MainPID")[unit].get("MainPID", "")
    main = int(shown) if shown.isdigit() else 0
    known = set(listeners(layout.root, unit, host.proc))
    programs = known.union(workers(layout.root, unit, host.proc))
    return {pid for pid in known if main and _first_of(pid, main, programs, host.proc)}


def _first_of(pid: int, main: int, programs: Collection[int], proc: str) -> bool:
    """Return whether ``pid`` is ``main`` or below it without ``programs`` between."""
    seen = {pid}
    while pid != main:
        pid = _parent(pid, proc)
        if pid in seen or pid in programs or pid < 1:
            return False
        seen.add(pid)
    return True


def _parent(pid: int, proc: str) -> int:
    try:
        with open(f"{proc}/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return int(stream.read().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def wait_for_endings(
    host: Host, name: str, unit: str, pids: Collection[int], since: Optional[float]
) -> list[Ending]:
    """Return the latest results of the instance ``name`` from the listeners ``pids``.

    With ``since`` (Unix seconds) a job ended after that time, and this waits for its line. Without, only
    lines that are already there count.
    """
    earliest = (time.time() if since is None else since) - _LOOK_BACK_SECONDS
    deadline = host.now() + _PATIENCE_SECONDS
    while True:
        lines = journal_lines(host, unit, pids, earliest - _LONGEST_JOB_SECONDS)
        # A time in the future is from before the clock was set back.
        recent = [each for each in endings(name, lines) if earliest <= each.at <= time.time()]
        fresh = bool(recent) and time.time() - recent[-1].at < _MOMENT_SECONDS
        missing = since is not None and not any(each.at >= since for each in recent)
        if not (fresh or missing) or host.now() > deadline:
            return recent
        host.sleep(_PAUSE_SECONDS)


def journal_lines(host: Host, unit: str, pids: Collection[int], since: float) -> list[Line]:
    """Return the latest lines of the processes ``pids`` of ``unit`` in this boot.

    Only lines at ``since`` (Unix seconds) or later; none if the journal cannot be read.
    """
    which = [f"_SYSTEMD_UNIT={unit}", *(f"_PID={pid}" for pid in sorted(pids))]
    words = ["journalctl", "--output=json", "--output-fields=MESSAGE,_PID", "--quiet", "--no-pager"]
    # Without --reverse, systemd before 254 returns the earliest lines after --since.
    limits = ["--boot", f"--since=@{max(0, int(since))}", "--reverse", f"--lines={_LINES}"]
    text = host.run([*words, *limits, *which], timeout_seconds=_JOURNAL_SECONDS).stdout
    return [line for line in _lines(text) if line.pid in pids][::-1]


def _lines(text: str) -> Iterator[Line]:
    for entry in text.split("\n"):
        line = line_of(entry)
        if line is not None:
            yield line


def endings(instance: str, lines: Iterable[Line]) -> list[Ending]:
    """Return the results of jobs in the ``lines`` of a listener, in their order.

    A job's name is hostile text. A name of one line has no effect. If a name of several lines makes lines
    that disagree, that job's result is unknown. A job is dropped if the clock was set back to before its
    end, because its time then fits another job.
    """
    listed = list(lines)
    known: list[Ending] = []
    since: Optional[float] = None
    job = ""
    for number, line in enumerate(listed):
        while known and known[-1].at > line.at:
            known.pop()
        started = _STARTED.match(line.text)
        if started:
            since, job = line.at, started[1].strip()
        elif since is not None and _JOB_LINE.match(line.text) and _ENDED.fullmatch(line.text):
            results = _results(listed[number:], line.at + _MOMENT_SECONDS)
            known.append(Ending(instance, since, line.at, results.pop() if len(results) == 1 else "", job))
            since = None
    return known


def _results(lines: Iterable[Line], until: float) -> set[str]:
    matches = [_ENDED.fullmatch(line.text) for line in lines if line.at <= until]
    return {_RESULTS.get(match[1], "") for match in matches if match}
