"""How the jobs of an instance ended: what its listener says on its standard output, as the journal has it.

A job is of the same user and in the same unit, so it can write the same words there. The journal notes with
every line which process wrote it, and only the listener that systemd started counts.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Callable, NamedTuple, Optional

from ...errors import CiError
from ...host import systemd
from ...runner.account import Host
from ...runner.layout import Layout, instance_unit
from ...runner.worker import listeners, workers
from ..history.endings import Ending, leave

# The runner's words (actions/runner 2.336.0), in GitHub's. A job is "Abandoned" when GitHub does not let the
# runner renew it any more; how it ended, GitHub has decided alone then.
_RESULTS = {
    "Succeeded": "success",
    "SucceededWithIssues": "success",
    "Failed": "failure",
    "Canceled": "cancelled",
    "Skipped": "skipped",
}
_STAMP = r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}Z: "
_BEGUN = re.compile(rf"{_STAMP}Running job: ")
# A job's name has the words of its own choice in it, and the last ones are the listener's.
_ENDED = re.compile(r".* completed with result: (\w+)\s*", re.DOTALL)
_SAID = re.compile(rf"{_STAMP}Job ")
# What the listener writes at once has the same moment; a name of several lines makes as many of the journal.
_MOMENT_SECONDS = 1.0
# Whoever comes when the job is over already finds it within this time.
_LOOK_BACK_SECONDS = 60.0
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.2
_JOURNAL_SECONDS = 10.0
_LINES = 200
# GitHub lets no job of a self-hosted runner last longer.
_LONGEST_JOB_SECONDS = 5 * 86400.0


class Line(NamedTuple):
    """One line of the journal: when it came (Unix seconds), the process that wrote it, and its text."""

    at: float
    pid: int
    text: str


def known_listeners(host: Host, layout: Layout, unit: str, say: Callable[[str], None]) -> set[int]:
    """Return ``own_listeners``, or say why there are none."""
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
    """Let the history know how jobs of the instance ``name`` ended, as ``wait_for_endings`` finds it."""
    if not pids:
        return
    try:
        for ending in wait_for_endings(host, name, instance_unit(name), pids, since):
            if ending.result:
                leave(run_dir, ending)
    except CiError as error:
        say(str(error))


def own_listeners(host: Host, layout: Layout, unit: str) -> set[int]:
    """Return the process ids of the unit's listener, and none of what its jobs call so: it comes from the
    unit's main process, with no other program of the runner between.

    Raises CiError when systemd does not answer.
    """
    shown = systemd.show(host.run, [unit], "Id,MainPID")[unit].get("MainPID", "")
    main = int(shown) if shown.isdigit() else 0
    known = set(listeners(layout.root, unit, host.proc))
    programs = known.union(workers(layout.root, unit, host.proc))
    return {pid for pid in known if main and _first_of(pid, main, programs, host.proc)}


def _first_of(pid: int, main: int, programs: Collection[int], proc: str) -> bool:
    """Return whether ``pid`` is ``main`` or descends from it without one of ``programs`` between."""
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
    """Return how the jobs of the instance ``name`` ended lately, as the listeners ``pids`` said it.

    With ``since`` (Unix seconds) one ended after it, whose line may come a moment later; without, what is
    there counts.
    """
    earliest = (time.time() if since is None else since) - _LOOK_BACK_SECONDS
    deadline = host.now() + _PATIENCE_SECONDS
    while True:
        told = endings(name, said_by(host, unit, pids, earliest - _LONGEST_JOB_SECONDS))
        # One of a time that has not come is of before the clock was set back.
        found = [one for one in told if earliest <= one.at <= time.time()]
        fresh = bool(found) and time.time() - found[-1].at < _MOMENT_SECONDS
        missing = since is not None and not any(one.at >= since for one in found)
        if not (fresh or missing) or host.now() > deadline:
            return found
        host.sleep(_PAUSE_SECONDS)


def said_by(host: Host, unit: str, pids: Collection[int], since: float) -> list[Line]:
    """Return the latest lines that the processes ``pids`` of ``unit`` wrote in this boot at ``since`` (Unix
    seconds) or later, none where the journal is not read.
    """
    which = [f"_SYSTEMD_UNIT={unit}", *(f"_PID={pid}" for pid in sorted(pids))]
    words = ["journalctl", "--output=json", "--output-fields=MESSAGE,_PID", "--quiet", "--no-pager"]
    # systemd before 254 gives the earliest lines since then, unless the latest come first.
    limits = ["--boot", f"--since=@{max(0, int(since))}", "--reverse", f"--lines={_LINES}"]
    told = host.run([*words, *limits, *which], timeout_seconds=_JOURNAL_SECONDS).stdout
    return [line for line in _lines(told) if line.pid in pids][::-1]


def _lines(text: str) -> Iterator[Line]:
    for one in text.split("\n"):
        found = line_of(one)
        if found is not None:
            yield found


def line_of(text: str) -> Optional[Line]:
    """Return one line of ``journalctl --output=json``, None for anything else."""
    try:
        data = json.loads(text)
        at, pid = int(data["__REALTIME_TIMESTAMP"]) / 1e6, int(data["_PID"])
        return Line(at, pid, _text(data.get("MESSAGE")))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def _text(message: Any) -> str:
    """Return a field's text: journalctl gives the bytes of one that is not plain text as numbers."""
    if isinstance(message, list):
        return bytes(message).decode(errors="replace")
    return message if isinstance(message, str) else ""


def endings(instance: str, lines: Iterable[Line]) -> list[Ending]:
    """Return what the ``lines`` of a listener, in their order, say about the ends of jobs.

    A job's name is hostile text. Of one line it changes nothing; where it makes several, and they do not
    agree, that job's result is unknown. So it is where the clock was set back to before its end: the time
    does not say any more which job it was.
    """
    listed = list(lines)
    found: list[Ending] = []
    since: Optional[float] = None
    for number, line in enumerate(listed):
        while found and found[-1].at > line.at:
            found.pop()
        if _BEGUN.match(line.text):
            since = line.at
        elif since is not None and _SAID.match(line.text) and _ENDED.fullmatch(line.text):
            words = _results(listed[number:], line.at + _MOMENT_SECONDS)
            found.append(Ending(instance, since, line.at, words.pop() if len(words) == 1 else ""))
            since = None
    return found


def _results(lines: Iterable[Line], until: float) -> set[str]:
    said = [_ENDED.fullmatch(line.text) for line in lines if line.at <= until]
    return {_RESULTS.get(match[1], "") for match in said if match}
