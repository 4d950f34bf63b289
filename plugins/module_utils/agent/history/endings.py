"""How jobs ended, as root learnt it from their listener: a job has no word in this.

``<run>/results`` is root's and the agent's, who takes the records in; no job can write there. GitHub's word,
once it is imported, counts more.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from typing import NamedTuple

from ...errors import CiError
from ...health.dispatch import SELF_HOSTED
from ...host.directories import read_json
from ...host.durable import remove_file, replace_file
from ...host.paths import Paths
from .records import LOST, RecordError, needed_text, number, result_of

# In memory, and of no use to anybody when nobody takes them in.
_MOST_RECORDS = 1000


class Ending(NamedTuple):
    """What ran on ``instance`` from ``since`` to ``at`` (Unix seconds) had the ``result``, in GitHub's words;
    it is empty where the listener's word decides nothing.

    An instance runs one job at a time, so the time says which job that was.
    """

    instance: str
    since: float
    at: float
    result: str


def leave(run_dir: str, ending: Ending) -> None:
    """Let the history know of ``ending`` the next time it takes records in; raises CiError when that cannot
    be written. Needs root.
    """
    directory = Paths(run=run_dir).results
    # The name is that of the moment: who finds the same ending again leaves the same file.
    path = os.path.join(directory, f"{int(ending.at * 1e6):020}-{ending.instance}.json")
    try:
        _make_room(directory)
        replace_file(path, json.dumps(ending._asdict()) + "\n", durable=False)
    except OSError as error:
        raise CiError(
            f"how a job of '{ending.instance}' ended is not recorded, because {directory} cannot be written "
            f"({error.strerror}); converge the host, which makes it."
        ) from error


def _make_room(directory: str) -> None:
    """Remove the oldest that one more may lie there. The agent may have put there what is no file."""
    with os.scandir(directory) as entries:
        names = [one.name for one in entries if one.is_file(follow_symlinks=False)]
    for name in sorted(filter(_is_whole, names))[: 1 - _MOST_RECORDS]:
        remove_file(os.path.join(directory, name))


def _is_whole(name: str) -> bool:
    return not name.startswith(".")


class Left:
    """The endings that wait below ``run_dir``: what they are, and what is no ending."""

    def __init__(self, run_dir: str) -> None:
        self._directory = Paths(run=run_dir).results
        self._names: list[str] = []
        self.endings: list[Ending] = []
        self.reasons: list[str] = []

    def read(self) -> None:
        """Read what is there, also when nothing is."""
        try:
            self._names = sorted(filter(_is_whole, os.listdir(self._directory)))
        except FileNotFoundError:
            return
        except OSError as error:
            self.reasons.append(f"results: it cannot be read ({error.strerror}).")
        for name in self._names:
            path = os.path.join(self._directory, name)
            try:
                self.endings.append(_ending(path))
            except RecordError as error:
                if os.path.lexists(path):  # else another process took it in
                    self.reasons.append(f"results/{name}: {error}.")

    def remove(self) -> None:
        """Remove what was read."""
        for name in self._names:
            problem = _remove(os.path.join(self._directory, name))
            if problem:
                self.reasons.append(f"results/{name}: it cannot be removed ({problem}).")


def _remove(path: str) -> str:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return ""  # another process took it in
    except OSError as error:
        return str(error.strerror)
    return ""


def _ending(path: str) -> Ending:
    fields = read_json(path)
    if fields is None:
        raise RecordError("it is no JSON object")
    since, at = number(fields, "since"), number(fields, "at")
    if since is None or at is None:
        raise RecordError(f"'{'since' if since is None else 'at'}' is missing")
    if at > time.time():  # the clock was set back, and it would be the end of whatever began since
        raise RecordError("it is of a time that has not come")
    return Ending(needed_text(fields, "instance"), since, at, result_of(fields))


def tell(connection: sqlite3.Connection, ending: Ending) -> int:
    """Give the result to what the hooks recorded in that time, unless somebody told one before; return to how
    many that was new.

    A job may have recorded itself under several names, and all of them ended like this.
    """
    return connection.execute(
        "UPDATE jobs SET result = ?, completed_at = COALESCE(completed_at, ?), "
        "foretold = foretold OR completed_at IS NULL, "
        # A clock that went back leaves the duration unknown where the hook told the end.
        "duration_seconds = CASE WHEN completed_at IS NULL THEN ? - started_at ELSE duration_seconds END "
        "WHERE instance = ? AND kind = ? AND began BETWEEN ? AND ? AND result IN ('', ?)",
        (
            ending.result,
            ending.at,
            ending.at,
            ending.instance,
            SELF_HOSTED,
            ending.since,
            ending.at,
            LOST,
        ),
    ).rowcount
