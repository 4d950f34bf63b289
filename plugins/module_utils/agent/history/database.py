"""The history of jobs in SQLite: what is written at once, and what is asked of it.

Many processes may write (hooks' records by the services, imports by a person), each in one transaction;
readers never wait for them (WAL). The number of jobs is bounded, and what is too much goes in the transaction
that adds.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Optional

from ...errors import CiError
from ...health.dispatch import SELF_HOSTED, Aggregate
from . import schema
from .endings import Ending, tell
from .records import COMPLETED, LOST, STARTED, Job, Record, checked, clean, hosted_job
from .rights import rights_of_owner

MOST_JOBS = 200_000
MOST_DAYS = 400
_DAY = 86400.0
# A clock that jumps ahead makes all of the history look old; so little goes at a time that none of it is lost
# before somebody sets the clock right.
_OLD_AT_ONCE = 100
# Between the start that GitHub tells and the one that the hook noted.
_NEAR_SECONDS = 30.0

_ADD = "INSERT OR IGNORE INTO jobs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
_LATEST = "SELECT * FROM jobs WHERE began >= ? ORDER BY began DESC, id DESC LIMIT ?"
# GitHub names the jobs of a matrix "name (values)": what sorts between "name (" and "name )".
_LATEST_OF_ONE = """
    SELECT * FROM jobs WHERE (job = :job OR job BETWEEN :job || ' (' AND :job || ' )') AND began >= :since
    ORDER BY began DESC, id DESC LIMIT :limit
"""
_SUMS = """
    SELECT job, kind, SUM(runs), SUM(good), SUM(seconds), SUM(timed), MAX(updated) FROM (
        SELECT job, kind, COUNT(*) AS runs, SUM(result = 'success') AS good,
               COALESCE(SUM(duration_seconds), 0) AS seconds, COUNT(duration_seconds) AS timed,
               MAX(COALESCE(completed_at, began)) AS updated
        FROM jobs
        WHERE (:job = '' OR job = :job OR job BETWEEN :job || ' (' AND :job || ' )') AND began >= :since
              AND result IN ('success', 'failure', 'timed_out', 'lost')
        GROUP BY job, kind
        UNION ALL
        SELECT * FROM aggregates
        WHERE (:job = '' OR job = :job OR job BETWEEN :job || ' (' AND :job || ' )') AND :since = 0
    ) GROUP BY job, kind ORDER BY job, kind
"""


class History:
    """The database at ``path``, as a context; ``notice`` tells in one sentence that a damaged one was set
    aside.

    Opened with ``read_only`` it needs no right to write, and is empty where there is no database. Root has,
    while it is open, no more rights than the owner of its directory.
    Everything raises HistoryError when the file, its disk or another writer does not let it happen.
    """

    def __init__(
        self, path: str, read_only: bool = False, *, most_jobs: int = MOST_JOBS, most_days: float = MOST_DAYS
    ) -> None:
        self.path = path
        self.notice = ""
        self._read_only = read_only
        self._most_jobs = most_jobs
        self._most_days = most_days
        self._connection: Optional[sqlite3.Connection] = None
        self._rights = contextlib.ExitStack()

    def __enter__(self) -> History:
        with contextlib.ExitStack() as entered:
            entered.enter_context(rights_of_owner(os.path.dirname(self.path) or "."))
            if self._read_only:
                self._connection = schema.open_readable(self.path)
            else:
                self._connection, self.notice = schema.open_writable(self.path)
            self._rights = entered.pop_all()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        with self._rights:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def started(self, record: Mapping[str, Any]) -> bool:
        """Take in that a job began; return whether that was new. Raises RecordError for a wrong record."""
        return bool(self.add([checked({**record, "event": STARTED})]))

    def completed(self, record: Mapping[str, Any]) -> bool:
        """Take in that a job ended; return whether that was new. Raises RecordError for a wrong record."""
        return bool(self.add([checked({**record, "event": COMPLETED})]))

    def add(self, records: Iterable[Record]) -> int:
        """Take in ``records`` in their order, all or none; return how many were new."""
        with self._writing() as connection:
            added = 0
            for record in records:
                added += (_begin if record.event == STARTED else _end)(connection, record)
            self._prune(connection, added)
        return added

    def add_endings(self, endings: Iterable[Ending]) -> int:
        """Take in how jobs ended, all or none; return how many jobs got a result by it."""
        with self._writing() as connection:
            return sum(tell(connection, ending) for ending in endings if ending.result)

    def add_hosted(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Take in finished jobs as ``github_jobs_info`` returns them, all or none; return how many were new.

        A job of this host that its hook recorded as well gets the result and the queue time that only GitHub
        knows. Raises RecordError for a row that is no such job.
        """
        jobs = [job for job in map(hosted_job, rows) if job is not None]
        with self._writing() as connection:
            added = 0
            for job in jobs:
                if not _completed_by_github(connection, job):
                    added += _insert(connection, job)
            self._prune(connection, added)
        return added

    def add_aggregates(self, sums: Sequence[Aggregate]) -> None:
        """Keep the ``sums`` of an older history, in the place of those of the same job and kind."""
        with self._writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO aggregates VALUES (?, ?, ?, ?, ?, ?, ?)", sums)

    def jobs(self, since: Optional[float] = None, job: str = "", limit: int = 1000) -> list[Job]:
        """Return jobs, the latest first: those that began at ``since`` (Unix seconds) or later, of the name
        ``job`` or of its matrix.
        """
        if job:
            rows = self._read(_LATEST_OF_ONE, {"job": clean(job), "since": since or 0, "limit": limit})
        else:
            rows = self._read(_LATEST, (since or 0, limit))
        return [Job(*row[1:-2]) for row in rows]

    def summaries(self, since: Optional[float] = None, job: str = "") -> list[Aggregate]:
        """Return the sums of the finished jobs per name and kind, by name: all, or those of the name ``job``
        and of its matrix. Those of an older history count as well, unless ``since`` (Unix seconds) is given.

        Only jobs count whose end says something about the machine (``records.JUDGED``).
        """
        return [Aggregate(*row) for row in self._read(_SUMS, {"job": clean(job), "since": since or 0})]

    def _read(self, query: str, values: Any) -> list[tuple[Any, ...]]:
        if self._connection is None:
            return []
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> schema.HistoryError:
        """Return the sentence for ``error``; damage met while writing is set aside at once."""
        told = schema.history_error(self.path, error)
        if isinstance(told, schema.DamagedError) and self._connection is not None and not self._read_only:
            self._connection.close()
            self._connection = None
            self._connection, self.notice = schema.set_aside(self.path)
        return told

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, taken back by any error."""
        if self._read_only or self._connection is None:
            raise CiError(f"The job history {self.path} is open for reading only; open it for writing.")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite has already taken back what a full disk stopped.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _prune(self, connection: sqlite3.Connection, added: int) -> None:
        """Drop what is too old, and of the busiest instance what is too much: one that floods the history
        loses its own jobs.
        """
        if not added:
            return
        connection.execute(
            "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE began < ? ORDER BY began LIMIT ?)",
            (time.time() - self._most_days * _DAY, _OLD_AT_ONCE + added),
        )
        (count,) = connection.execute("SELECT COUNT(*) FROM jobs").fetchone()
        while count > self._most_jobs:
            (busiest, own) = connection.execute(
                "SELECT instance, COUNT(*) FROM jobs GROUP BY instance ORDER BY 2 DESC LIMIT 1"
            ).fetchone()
            # A little more than needed, so that the next few jobs cost no such search.
            surplus = min(own, count - self._most_jobs + self._most_jobs // 100)
            connection.execute(
                "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE instance = ? ORDER BY id LIMIT ?)",
                (busiest, surplus),
            )
            count -= surplus


def _job(record: Record) -> Job:
    """Return what the beginning and the end of a job both tell of it."""
    return Job(
        kind=SELF_HOSTED,
        instance=record.instance,
        repository=record.repository,
        workflow=record.workflow,
        job=record.job,
        run_id=record.run_id,
        run_attempt=record.run_attempt,
        job_class=record.job_class,
        queued_at=record.queued_at,
    )


def _begin(connection: sqlite3.Connection, record: Record) -> int:
    """Add a job that runs. Its runner does one at a time, so one before it that never ended is lost."""
    added = _insert(connection, _job(record)._replace(started_at=record.at))
    if added:
        connection.execute(
            "UPDATE jobs SET result = ? WHERE instance = ? AND id < last_insert_rowid() "
            "AND completed_at IS NULL AND result = ''",
            (LOST, record.instance),
        )
    return added


def _end(connection: sqlite3.Connection, record: Record) -> int:
    """Finish the job that began last under this name, or add one whose beginning nobody told."""
    identity = (record.instance, record.run_id, record.run_attempt, record.job)
    seen = connection.execute(
        "SELECT 1 FROM jobs WHERE instance = ? AND run_id = ? AND run_attempt = ? AND job = ? "
        "AND completed_at = ?",
        (*identity, record.at),
    ).fetchone()
    if seen:
        return 0
    # Root or GitHub may have told the end before the hook's record came in; that of the hook then lies within
    # the job. What a hook has told stays: a later job can write such records as well.
    running = connection.execute(
        "SELECT id, started_at FROM jobs WHERE instance = ? AND run_id = ? AND run_attempt = ? AND job = ? "
        "AND (completed_at IS NULL OR foretold AND ? BETWEEN began AND completed_at) "
        "ORDER BY completed_at IS NULL, id DESC LIMIT 1",
        (*identity, record.at),
    ).fetchone()
    began = running[1] if running else None
    ended = _job(record)._replace(
        started_at=began,
        completed_at=record.at,
        result=record.result,
        duration_seconds=None if began is None or record.at < began else record.at - began,
        peak_memory_bytes=record.peak_memory_bytes,
        cpu_seconds=record.cpu_seconds,
        cache_hits=record.cache_hits,
        cache_misses=record.cache_misses,
    )
    if running is None:
        return _insert(connection, ended)
    connection.execute(
        "UPDATE jobs SET foretold = 0, completed_at = ?, duration_seconds = ?, peak_memory_bytes = ?, "
        "cpu_seconds = ?, cache_hits = ?, cache_misses = ?, queued_at = COALESCE(queued_at, ?), "
        "job_class = CASE job_class WHEN '' THEN ? ELSE job_class END, "
        "result = CASE WHEN result IN ('', ?) THEN ? ELSE result END WHERE id = ?",
        (
            ended.completed_at,
            *ended[12:17],
            ended.queued_at,
            ended.job_class,
            LOST,
            ended.result,
            running[0],
        ),
    )
    return 1


def _insert(connection: sqlite3.Connection, job: Job) -> int:
    """Add ``job`` unless it is there; return how many were added."""
    return connection.execute(_ADD, (*job, job.began)).rowcount


def _completed_by_github(connection: sqlite3.Connection, job: Job) -> bool:
    """Add what only GitHub knows to the job that the hook of the same runner recorded at that time; return
    whether there is one.

    The hook knows the job by its key in the workflow and GitHub by its display name, so time tells them
    apart.
    """
    if job.kind != SELF_HOSTED or job.started_at is None:
        return False
    found = connection.execute(
        "SELECT id FROM jobs WHERE instance = ? AND run_id = ? AND run_attempt = ? "
        "AND ABS(began - ?) <= ? ORDER BY ABS(began - ?) LIMIT 1",
        (job.instance, job.run_id, job.run_attempt, job.started_at, _NEAR_SECONDS, job.started_at),
    ).fetchone()
    if found is None:
        return False
    connection.execute(
        "UPDATE jobs SET result = COALESCE(NULLIF(?, ''), result), queued_at = COALESCE(queued_at, ?), "
        "foretold = foretold OR completed_at IS NULL, "
        "completed_at = COALESCE(completed_at, ?), duration_seconds = COALESCE(duration_seconds, ?) "
        "WHERE id = ?",
        (job.result, job.queued_at, job.completed_at, job.duration_seconds, found[0]),
    )
    return True
