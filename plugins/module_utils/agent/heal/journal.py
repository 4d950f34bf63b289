"""The journal of a runner's unit, and the lines in it that are the listener's own.

Every process of the unit can write to its journal. Before the listener logs its first job, no code of a job
has run in that invocation (systemd.exec(5)) of the unit. So lines up to then are the runner's, and later ones
count if the same process wrote them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, Optional

from ...host.process import Run

LINES = 40
#: How the listener reports that it has a job.
JOB = "Running job: "
_JOURNAL_SECONDS = 10.0
# MESSAGE_ID of "Starting" and "Started" (systemd.journal-fields(7), sd-messages.h).
_STARTING = ("7d4958e842da4a758f6c1cdc7b36dcc5", "39f53479d3a045ac8e11786248231fbf")


class Line(NamedTuple):
    """A line of the journal: Unix seconds, the process that wrote it, and its text.

    ``root`` is whether that process was root's.
    """

    at: float
    pid: int
    text: str
    root: bool = False


class Start(NamedTuple):
    """A start of a unit, in Unix seconds."""

    invocation: str
    at: float

    @property
    def field(self) -> str:
        """The condition for the lines of this invocation."""
        return f"_SYSTEMD_INVOCATION_ID={self.invocation}"


def starts(run: Run, unit: str, count: int) -> list[Start]:
    """Return the last ``count`` starts of ``unit`` in systemd's log, the latest first."""
    which = ["_PID=1", f"UNIT={unit}", *(f"MESSAGE_ID={number}" for number in _STARTING)]
    text = _read(run, which, "INVOCATION_ID", "--reverse", f"--lines={count * len(_STARTING)}")
    seen: dict[str, Start] = {}
    for entry in text.splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            data = json.loads(entry)
            invocation, at = str(data["INVOCATION_ID"]), int(data["__REALTIME_TIMESTAMP"]) / 1e6
            seen[invocation] = Start(invocation, at)  # reversed, so the first line of each stays
    return list(seen.values())[:count]


def beginning(run: Run, start: Start) -> list[Line]:
    """Return the runner's own first lines of an invocation, up to its first job.

    At most LINES; none if the journal has lost the beginning.
    """
    # With --since, systemd before 254 returns the earliest lines too; it ignores the plus sign.
    head = lines(run, [start.field], "--since=@0", f"--lines=+{LINES}")
    if not head or head[0].at < start.at:
        return []
    job = next((number for number, line in enumerate(head) if JOB in line.text), None)
    return head if job is None else head[: job + 1]


def latest(run: Run, which: Sequence[str], pids: Collection[int] = (), count: int = LINES) -> list[Line]:
    """Return the last ``count`` lines, in their order; with ``pids`` only those of these processes."""
    own = [f"_PID={pid}" for pid in sorted(pids)]
    return lines(run, [*which, *own], "--reverse", f"--lines={count}")[::-1]


def lines(run: Run, which: Sequence[str], *options: str) -> list[Line]:
    """Return the journal's lines that processes of accounts wrote to their output.

    Root's own lines in the unit may contain names of a job's files.
    """
    text = _read(run, [*which, "_TRANSPORT=stdout"], "MESSAGE,_PID,_UID", *options)
    return [line for line in map(line_of, text.splitlines()) if line and not line.root]


def _read(run: Run, which: Sequence[str], fields: str, *options: str) -> str:
    words = ["journalctl", "--output=json", f"--output-fields={fields}", "--quiet", "--no-pager", "--boot"]
    return run([*words, *options, *which], timeout_seconds=_JOURNAL_SECONDS).stdout


def line_of(text: str) -> Optional[Line]:
    """Return the entry ``text`` of ``journalctl --output=json``, None for other text."""
    try:
        data = json.loads(text)
        at, pid = int(data["__REALTIME_TIMESTAMP"]) / 1e6, int(data["_PID"])
        return Line(at, pid, _text(data.get("MESSAGE")), data.get("_UID") == "0")
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def _text(message: Any) -> str:
    """Return a field's text; journalctl prints binary fields as a list of bytes."""
    if isinstance(message, list):
        return bytes(message).decode(errors="replace")
    return message if isinstance(message, str) else ""
