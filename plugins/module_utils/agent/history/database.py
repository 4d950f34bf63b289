"""History of jobs in SQLite: transactions that add jobs, and queries.

Several processes may write: the services add the hooks' records, a person imports a file. Each write is one
transaction. Readers never wait for a writer (WAL). The transaction that adds jobs also deletes those above
the limits.
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
from ...health.dispatch import SELF_HOSTED, JobSums
from . import schema
from .endings import Ending, apply_ending
from .jobs import LOST, STARTED, Job, Record, clean, hosted_job

MOST_JOBS = 200_000
MOST_DAYS = 400
_DAY = 86400.0
# A clock that jumps ahead makes the whole history look old. Few rows per transaction leave time to correct
# the clock before the history is gone.
_OLD_AT_ONCE = 100
# The most between the start that GitHub reports and the start that the hook recorded.
_NEAR_SECONDS = 30.0
# The journal may date a line of the listener later than the hook dates its record.
_LAG_SECONDS = 2.0
# The run of a job that only its listener reported. GitHub's numbers begin with 1.
_NO_RUN = 0

_ADD = "INSERT OR IGNORE INTO jobs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
_LATEST = "SELECT * FROM jobs WHERE began >= ? ORDER BY began DESC, id DESC LIMIT ?"
# GitHub names the jobs of a matrix "name (values)". They sort between "name (" and "name )".
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
    """Context manager for the database at ``path``.

    With ``read_only`` it needs no right to write, and a missing database is empty. While it is open, root
    acts as the owner of its directory. ``notice`` is a sentence for the user when a damaged database was set
    aside, else empty. Every method raises HistoryError when the file, its disk or another writer prevents the
    work.
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
            entered.enter_context(schema.acting_as_owner(os.path.dirname(self.path) or "."))
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

    def add(self, records: Iterable[Record]) -> int:
        """Add ``records`` in their order, all or none; return how many are new."""
        with self._writing() as connection:
            added = 0
            for record in records:
                added += (_begin if record.event == STARTED else _end)(connection, record)
            self._prune(connection, added)
        return added

    def add_endings(self, endings: Iterable[Ending]) -> int:
        """Add results of jobs, all or none; return how many jobs got a result.

        A job without a record failed before its first hook, or removed its record: its end adds it.
        """
        with self._writing() as connection:
            changed = added = 0
            for ending in (each for each in endings if each.result):
                matched = apply_ending(connection, ending)
                if not matched and _is_unknown(connection, ending):
                    added += _insert(connection, _unrecorded(ending))
                changed += matched
            self._prune(connection, added)
        return changed + added

    def add_hosted(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Add jobs from ``github_jobs_info``, all or none; return how many are new.

        A job of this host that its hook recorded too gets the result and the queue time, which only GitHub
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

    def add_sums(self, sums: Sequence[JobSums]) -> None:
        """Store ``sums`` of an older history in the place of those of the same job."""
        with self._writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO aggregates VALUES (?, ?, ?, ?, ?, ?, ?)", sums)

    def jobs(self, since: Optional[float] = None, job: str = "", limit: int = 1000) -> list[Job]:
        """Return at most ``limit`` jobs, the latest first.

        Only jobs that began at ``since`` (Unix seconds) or later, and with ``job`` only jobs of that name or
        of its matrix.
        """
        if job:
            rows = self._read(_LATEST_OF_ONE, {"job": clean(job), "since": since or 0, "limit": limit})
        else:
            rows = self._read(_LATEST, (since or 0, limit))
        return [Job(*row[1:-2]) for row in rows]

    def summaries(self, since: Optional[float] = None, job: str = "") -> list[JobSums]:
        """Return the sums of the finished jobs per name and kind, sorted by name.

        With ``job`` only those of that name and of its matrix. The sums of an older history count too, unless
        ``since`` (Unix seconds) is given. Only results that depend on the machine count (``jobs.JUDGED``).
        """
        return [JobSums(*row) for row in self._read(_SUMS, {"job": clean(job), "since": since or 0})]

    def _read(self, query: str, values: Any) -> list[tuple[Any, ...]]:
        if self._connection is None:
            return []
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> schema.HistoryError:
        """Return the HistoryError for ``error``; a writer sets damage aside at once."""
        failure = schema.history_error(self.path, error)
        if isinstance(failure, schema.DamagedError) and self._connection is not None and not self._read_only:
            self._connection.close()
            self._connection = None
            self._connection, self.notice = schema.set_aside(self.path)
        return failure

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Run one transaction; any error rolls it back."""
        if self._read_only or self._connection is None:
            raise CiError(f"The job history {self.path} is open for reading only; open it for writing.")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # After "disk is full" SQLite has already rolled back.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _prune(self, connection: sqlite3.Connection, added: int) -> None:
        """Delete jobs that are too old, and the busiest instance's oldest above the limit.

        So an instance that floods the history loses its own jobs and no others.
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


def _is_unknown(connection: sqlite3.Connection, ending: Ending) -> bool:
    """Return whether no job of the instance began at the time of the one that ended."""
    return not connection.execute(
        "SELECT 1 FROM jobs WHERE instance = ? AND began BETWEEN ? AND ? LIMIT 1",
        (ending.instance, ending.since - _LAG_SECONDS, ending.at),
    ).fetchone()


def _unrecorded(ending: Ending) -> Job:
    return Job(
        kind=SELF_HOSTED,
        instance=ending.instance,
        repository="",
        workflow="",
        job=ending.job or "unknown",
        run_id=_NO_RUN,
        run_attempt=1,
        started_at=ending.since,
        completed_at=ending.at,
        result=ending.result,
        duration_seconds=ending.at - ending.since,
    )


def _job(record: Record) -> Job:
    """Return the fields that the start and the end of a job have in common."""
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
    """Add a running job; the runner's earlier jobs that never ended are lost."""
    added = _insert(connection, _job(record)._replace(started_at=record.at))
    if added:
        connection.execute(
            "UPDATE jobs SET result = ? WHERE instance = ? AND id < last_insert_rowid() "
            "AND completed_at IS NULL AND result = ''",
            (LOST, record.instance),
        )
    return added


def _end(connection: sqlite3.Connection, record: Record) -> int:
    """Finish the latest job of this name, or add it; return 1 if the record is new."""
    identity = (record.instance, record.run_id, record.run_attempt, record.job)
    seen = connection.execute(
        "SELECT 1 FROM jobs WHERE instance = ? AND run_id = ? AND run_attempt = ? AND job = ? "
        "AND completed_at = ?",
        (*identity, record.at),
    ).fetchone()
    if seen:
        return 0
    # Root or GitHub may have reported the end before the hook did ("foretold"). The hook's time is then
    # within the job. An end that a hook has recorded stays, because a later job can write such records too.
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
    """Add ``job`` unless it exists; return how many rows were added."""
    return connection.execute(_ADD, (*job, job.began)).rowcount


def _completed_by_github(connection: sqlite3.Connection, job: Job) -> bool:
    """Complete the hook's record of ``job``; return whether there is one.

    GitHub alone knows the result and the queue time.
    The hook records the key of a job and GitHub its display name, so the runner and the start time identify
    it.
    """
    if job.kind != SELF_HOSTED or job.started_at is None:
        return False
    row = connection.execute(
        "SELECT id FROM jobs WHERE instance = ? AND (run_id = ? AND run_attempt = ? OR run_id = ?) "
        "AND ABS(began - ?) <= ? ORDER BY run_id = ?, ABS(began - ?) LIMIT 1",
        (
            *(job.instance, job.run_id, job.run_attempt, _NO_RUN),
            *(job.started_at, _NEAR_SECONDS, _NO_RUN, job.started_at),
        ),
    ).fetchone()
    if row is None:
        return False
    connection.execute(
        "UPDATE jobs SET result = COALESCE(NULLIF(?, ''), result), queued_at = COALESCE(queued_at, ?), "
        "foretold = foretold OR completed_at IS NULL, "
        "completed_at = COALESCE(completed_at, ?), duration_seconds = COALESCE(duration_seconds, ?), "
        "repository = COALESCE(NULLIF(repository, ''), ?), workflow = COALESCE(NULLIF(workflow, ''), ?), "
        "run_id = ?, run_attempt = ? WHERE id = ?",
        (
            *(job.result, job.queued_at, job.completed_at, job.duration_seconds),
            *(job.repository, job.workflow, job.run_id, job.run_attempt, row[0]),
        ),
    )
    return True
