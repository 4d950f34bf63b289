"""The tables of the history, how older ones become the present ones, and how a database is opened.

``user_version`` counts the steps that a database has been through, so an older one takes only those it lacks.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import Optional
from urllib.parse import quote

from ...errors import CiError
from ...host import clock
from ...host.durable import remove_file
from ...host.flock import Flock

STEPS = (
    (
        """CREATE TABLE jobs (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL, instance TEXT NOT NULL, repository TEXT NOT NULL, workflow TEXT NOT NULL,
            job TEXT NOT NULL, run_id INTEGER NOT NULL, run_attempt INTEGER NOT NULL, job_class TEXT NOT NULL,
            queued_at REAL, started_at REAL, completed_at REAL, result TEXT NOT NULL, duration_seconds REAL,
            peak_memory_bytes INTEGER, cpu_seconds REAL, cache_hits INTEGER, cache_misses INTEGER,
            began REAL NOT NULL
        )""",
        # What makes a job one and the same, however often its record is read.
        "CREATE UNIQUE INDEX jobs_identity ON jobs (instance, run_id, run_attempt, job, started_at)",
        # Few are open at a time, and each beginning asks for those of its runner.
        "CREATE INDEX jobs_open ON jobs (instance) WHERE completed_at IS NULL",
        "CREATE INDEX jobs_began ON jobs (began)",
        # All that the sums need, so that they never touch the table.
        "CREATE INDEX jobs_job ON jobs (job, kind, result, began, completed_at, duration_seconds)",
    ),
    (
        """CREATE TABLE aggregates (
            job TEXT NOT NULL, kind TEXT NOT NULL, total_runs INTEGER NOT NULL,
            successful_runs INTEGER NOT NULL, total_duration REAL NOT NULL, timed_runs INTEGER NOT NULL,
            last_updated REAL,
            PRIMARY KEY (job, kind)
        ) WITHOUT ROWID""",
        "CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    ),
    # Whether somebody told the end before the hook did, who then may still tell it: once.
    ("ALTER TABLE jobs ADD COLUMN foretold INTEGER NOT NULL DEFAULT 0",),
)
VERSION = len(STEPS)
BUSY_SECONDS = 10.0
_MOST_LOCKED_SECONDS = 60.0
_CHECKED = "checked_in_boot"
_ASIDE = ".corrupt-"

# What SQLite says, and what a person should do about it; Python before 3.11 has no codes for these.
_REMEDIES = (
    ("locked", "another process has been writing for too long; try again, and look for one that hangs"),
    ("full", "the disk is full; free space there, nothing is lost that is not yet taken in"),
    ("disk i/o", "the disk refused to read or write; free space there, and look at the kernel log"),
    ("readonly", "it may be written only by its owner and by root; run with their permissions"),
    ("unable to open", "it is missing, or may not be read; start the agent, or run with its permissions"),
)
_DAMAGE = ("malformed", "not a database", "file is encrypted")


class HistoryError(CiError):
    """The history cannot be read or written."""


class DamagedError(HistoryError):
    """The file is no sound database."""


def history_error(path: str, error: sqlite3.Error) -> HistoryError:
    """Return the sentence for ``error``; a DamagedError where the file itself is broken."""
    said = str(error)
    if any(sign in said.lower() for sign in _DAMAGE):
        return DamagedError(
            f"The job history {path} is damaged ({said}); the agent sets it aside the next time it writes."
        )
    remedy = next((text for sign, text in _REMEDIES if sign in said.lower()), "mend that and run again")
    return HistoryError(f"The job history {path} cannot be used ({said}): {remedy}.")


def open_writable(path: str) -> tuple[sqlite3.Connection, str]:
    """Open the database at ``path``, made or brought up to date as needed; return it and what to tell.

    A damaged one is set aside and a new one begun: that is told, in one sentence, to whoever set it aside.
    Raises HistoryError when it cannot be used.
    """
    try:
        return _opened(path), ""
    except DamagedError:
        return set_aside(path)


def set_aside(path: str) -> tuple[sqlite3.Connection, str]:
    """Rename the damaged database at ``path`` and begin a new one, unless another process did so already."""
    lock = Flock(f"{path}.lock")
    try:
        lock.acquire(_MOST_LOCKED_SECONDS)
    except CiError as error:
        raise HistoryError(f"The job history {path} is damaged, and cannot be set aside: {error}") from error
    try:
        try:
            return _opened(path, fully=True), ""
        except DamagedError:
            kept = _rename(path)
        return _opened(
            path
        ), f"the job history {path} was damaged; it is kept as {kept}, a new one has begun."
    except OSError as error:
        raise HistoryError(
            f"The job history {path} is damaged, and cannot be set aside ({error.strerror}); move it away as "
            "root."
        ) from error
    finally:
        lock.release()


def _rename(path: str) -> str:
    """Move the files of the database at ``path`` out of the way, and drop all but the newest of those moved
    before; return the new name.
    """
    above, name = os.path.split(path)
    earlier = sorted({one for one in os.listdir(above or ".") if one.startswith(name + _ASIDE)})
    kept = f"{path}{_ASIDE}{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    for ending in ("-shm", "-wal", ""):  # a log that stayed would be applied to the new file
        with contextlib.suppress(FileNotFoundError):
            os.rename(path + ending, kept + ending)
    main = [one for one in earlier if not one.endswith(("-shm", "-wal"))]
    for one in earlier:
        if not main or not one.startswith(main[-1]):
            os.unlink(os.path.join(above, one))
    return kept


def _opened(path: str, fully: bool = False) -> sqlite3.Connection:
    try:
        _create(path)
        connection = _connect(path)
    except OSError as error:
        raise HistoryError(
            f"The job history {path} cannot be opened ({error.strerror}); it may be written only by its "
            "owner and by root, in a directory that exists."
        ) from error
    except sqlite3.Error as error:
        raise history_error(path, error) from error
    try:
        _check(connection, path, fully)
    except sqlite3.Error as error:
        connection.close()
        raise history_error(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # After a power cut the last transactions may be missing, but the rest is sound (sqlite.org/wal.html).
        connection.execute("PRAGMA synchronous = NORMAL")
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: str) -> None:
    """Make an empty database unless there is one.

    It comes under its name complete: two processes that turn one file into a database with a log do not wait
    for each other but fail. Raises DamagedError for a link, which is set aside and never followed.
    """
    if os.path.islink(path):
        raise DamagedError(f"The job history {path} is a link; it is set aside.")
    if os.path.exists(path):
        return
    fresh = f"{path}.{os.urandom(6).hex()}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(descriptor, 0o644)
        _connect(fresh).close()
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(fresh, path)
    finally:
        os.close(descriptor)
        for ending in ("-shm", "-wal", ""):
            remove_file(fresh + ending)


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    if _version(connection) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)  # another process may have been faster
        _refuse_newer(version, path)
        for step in STEPS[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _refuse_newer(version: int, path: str) -> None:
    if version > VERSION:
        raise HistoryError(
            f"The job history {path} is of version {version}, and this program knows {VERSION}; a newer one "
            "wrote it, so install that again."
        )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _check(connection: sqlite3.Connection, path: str, fully: bool) -> None:
    """Read every page once in each boot, since a power cut or a dying disk is what damages a database."""
    boot = clock.boot_id()
    row = connection.execute("SELECT value FROM notes WHERE name = ?", (_CHECKED,)).fetchone()
    if row and row[0] == boot and not fully:
        return
    found = connection.execute(f"PRAGMA {'integrity' if fully else 'quick'}_check(1)").fetchone()
    if found is None or found[0] != "ok":
        raise DamagedError(f"The job history {path} is damaged ({found and found[0]}).")
    connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (_CHECKED, boot))


def open_readable(path: str) -> Optional[sqlite3.Connection]:
    """Open the database at ``path`` for reading only; None when there is none, or one of an older version.

    Raises HistoryError when it cannot be read.
    """
    if not os.path.exists(path):
        return None
    try:
        try:
            return _reader(path, "mode=ro")
        except sqlite3.OperationalError:
            # Without a writer there is no log, and one who may not write beside the file cannot make its
            # index; then the file alone is the whole truth (sqlite.org/wal.html, "Read-Only Databases").
            if os.path.exists(f"{path}-wal"):
                raise
            return _reader(path, "immutable=1")
    except sqlite3.Error as error:
        raise history_error(path, error) from error


def _reader(path: str, how: str) -> Optional[sqlite3.Connection]:
    address = f"file:{quote(path)}?{how}"
    connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        version = _version(connection)
        _refuse_newer(version, path)
    except BaseException:
        connection.close()
        raise
    if version == VERSION:
        return connection
    connection.close()  # its next writer brings it up to date
    return None
