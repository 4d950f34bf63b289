"""Results of jobs as root reads them from the listener's output.

Root writes them to ``<run>/results``, where no job can write, and the agent adds them to the history. A
result imported from GitHub replaces them.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from typing import NamedTuple, Optional

from ...errors import CiError
from ...health.dispatch import SELF_HOSTED
from ...host.directories import read_json
from ...host.durable import remove_file, replace_file
from ...host.paths import Paths
from .jobs import LOST, RecordError, clean, needed_text, number, result_of, text_of

# The directory is in memory (/run). Without an agent that reads them, the files have no use.
_MOST_FILES = 1000


class Ending(NamedTuple):
    """Result of the job on ``instance`` from ``since`` to ``at`` (Unix seconds).

    ``result`` is one of GitHub's, empty where the listener's output does not decide it. An instance runs one
    job at a time, so the time identifies the job. ``job`` is its name at GitHub, which is hostile text.
    """

    instance: str
    since: float
    at: float
    result: str
    job: str = ""


def leave(run_dir: str, ending: Ending) -> None:
    """Write ``ending`` to a file that the agent adds to the history. Needs root.

    Raises CiError when it cannot be written.
    """
    directory = Paths(run=run_dir).results
    # The name depends on the time only, so the same ending written twice is one file.
    path = os.path.join(directory, f"{int(ending.at * 1e6):020}-{ending.instance}.json")
    try:
        _make_room(directory)
        replace_file(path, json.dumps({**ending._asdict(), "job": clean(ending.job)}) + "\n", durable=False)
    except OSError as error:
        raise CiError(
            f"The result of a job of '{ending.instance}' is not recorded, because {directory} cannot be "
            f"written ({error.strerror}); converge the host, which creates that directory."
        ) from error


def _make_room(directory: str) -> None:
    """Remove the oldest files above the limit; directories stay."""
    with os.scandir(directory) as entries:
        names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    for name in sorted(filter(_is_whole, names))[: 1 - _MOST_FILES]:
        remove_file(os.path.join(directory, name))


def _is_whole(name: str) -> bool:
    return not name.startswith(".")


class PendingEndings:
    """Endings that wait below ``run_dir``; ``reasons`` lists the wrong files."""

    def __init__(self, run_dir: str) -> None:
        self._directory = Paths(run=run_dir).results
        self._names: list[str] = []
        self.endings: list[Ending] = []
        self.reasons: list[str] = []

    def read(self) -> None:
        """Read all files; a missing directory has none."""
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
                if os.path.lexists(path):  # else another process has added and removed it
                    self.reasons.append(f"results/{name}: {error}.")

    def remove(self) -> None:
        """Remove the files that were read."""
        for name in self._names:
            problem = remove(os.path.join(self._directory, name))
            if problem:
                self.reasons.append(f"results/{name}: it cannot be removed ({problem}).")


def remove(path: str, directory: Optional[int] = None) -> str:
    """Remove a file or an empty directory; return why it stays, empty if it went."""
    for function in (os.unlink, os.rmdir):
        try:
            function(path, dir_fd=directory)
        except FileNotFoundError:
            return ""  # another process has removed it
        except IsADirectoryError:
            continue
        except OSError as error:
            return str(error.strerror)
        return ""
    return "it is a directory"


def _ending(path: str) -> Ending:
    fields = read_json(path)
    if fields is None:
        raise RecordError("it is no JSON object")
    since, at = number(fields, "since"), number(fields, "at")
    if since is None or at is None:
        raise RecordError(f"'{'since' if since is None else 'at'}' is missing")
    if at > time.time():  # the clock was set back: this ending would match every job that began since
        raise RecordError("its time is in the future")
    return Ending(needed_text(fields, "instance"), since, at, result_of(fields), text_of(fields, "job"))


def apply_ending(connection: sqlite3.Connection, ending: Ending) -> int:
    """Set the result of the job that ended; return how many jobs got it, 0 or 1.

    An instance runs one job at a time, and its hook records it before any code of the job runs. So the first
    record of that time is the job, and any other is a claim of the job itself: it stays without a result and
    is never lost.
    """
    rows = connection.execute(
        "SELECT id FROM jobs WHERE instance = ? AND kind = ? AND began BETWEEN ? AND ? ORDER BY began, id",
        (ending.instance, SELF_HOSTED, ending.since, ending.at),
    ).fetchall()
    if not rows:
        return 0
    first, *others = rows
    connection.executemany(
        "UPDATE jobs SET result = '', completed_at = COALESCE(completed_at, ?) "
        "WHERE id = ? AND result IN ('', ?)",
        [(ending.at, *other, LOST) for other in others],
    )
    return connection.execute(
        "UPDATE jobs SET result = ?, completed_at = COALESCE(completed_at, ?), "
        "foretold = foretold OR completed_at IS NULL, "
        # Where the hook recorded the end and the clock went back, the duration stays unknown.
        "duration_seconds = CASE WHEN completed_at IS NULL THEN ? - started_at ELSE duration_seconds END "
        "WHERE id = ? AND result IN ('', ?)",
        (ending.result, ending.at, ending.at, *first, LOST),
    ).rowcount
