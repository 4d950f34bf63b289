"""Tables of the history, migration of older tables, and opening a database.

``user_version`` counts the steps that a database has taken, so an older one takes only the steps it lacks.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
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
        # Identifies a job, so a record that is read twice adds it once.
        "CREATE UNIQUE INDEX jobs_identity ON jobs (instance, run_id, run_attempt, job, started_at)",
        # Few jobs are open at a time; each start record asks for the open jobs of its runner.
        "CREATE INDEX jobs_open ON jobs (instance) WHERE completed_at IS NULL",
        "CREATE INDEX jobs_began ON jobs (began)",
        # Covers the query of the sums, which then reads no table.
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
    # 1 if root or GitHub reported the end before the hook did. The hook may then add its record once.
    ("ALTER TABLE jobs ADD COLUMN foretold INTEGER NOT NULL DEFAULT 0",),
)
VERSION = len(STEPS)
BUSY_SECONDS = 10.0
_MOST_LOCKED_SECONDS = 60.0
_CHECKED = "checked_in_boot"
_ASIDE = ".corrupt-"

# Parts of SQLite's messages, and what to do. Python before 3.11 has no error codes for them.
_REMEDIES = (
    ("locked", "another process has been writing for too long; try again, and look for a process that hangs"),
    ("full", "the disk is full; free space there, records that are not yet added stay"),
    ("disk i/o", "the disk refused to read or write; free space there, and look at the kernel log"),
    ("readonly", "it may be written only by its owner and by root; run with their permissions"),
    ("unable to open", "it is missing, or may not be read; start the agent, or run with its permissions"),
)
_DAMAGE = ("malformed", "not a database", "file is encrypted")


class HistoryError(CiError):
    """The history cannot be read or written."""


class DamagedError(HistoryError):
    """The file is no intact database."""


def history_error(path: str, error: sqlite3.Error) -> HistoryError:
    """Return the HistoryError for ``error``, a DamagedError if the file is damaged."""
    said = str(error)
    if any(sign in said.lower() for sign in _DAMAGE):
        return DamagedError(
            f"The job history {path} is damaged ({said}); the agent sets it aside the next time it writes."
        )
    remedy = next((text for sign, text in _REMEDIES if sign in said.lower()), "correct that and run again")
    return HistoryError(f"The job history {path} cannot be used ({said}): {remedy}.")


def open_writable(path: str) -> tuple[sqlite3.Connection, str]:
    """Open the database at ``path`` for writing; return it and a notice for the user.

    A missing database is created and an older one migrated. A damaged one is renamed and a new one created;
    the notice says so, else it is empty. Raises HistoryError when the database cannot be used.
    """
    try:
        return _opened(path), ""
    except DamagedError:
        return set_aside(path)


def set_aside(path: str) -> tuple[sqlite3.Connection, str]:
    """Rename the damaged database at ``path`` and create a new one.

    If another process did so before, open that new one. Returns and raises the same as ``open_writable``.
    """
    lock = Flock(f"{path}.lock", mode=0o600)
    try:
        lock.acquire(_MOST_LOCKED_SECONDS)
    except CiError as error:
        raise HistoryError(f"The job history {path} is damaged, and cannot be set aside: {error}") from error
    try:
        try:
            return _opened(path, fully=True), ""
        except DamagedError:
            kept = _rename(path)
        notice = f"The job history {path} was damaged; it is kept as {kept}, and a new one has begun."
        return _opened(path), notice
    except OSError as error:
        raise HistoryError(
            f"The job history {path} is damaged, and cannot be set aside ({error.strerror}); move it away as "
            "root."
        ) from error
    finally:
        lock.release()


def _rename(path: str) -> str:
    """Rename the files of the database at ``path``; return the new name.

    Of the databases renamed before, only the newest is kept.
    """
    above, name = os.path.split(path)
    earlier = sorted(entry for entry in os.listdir(above or ".") if entry.startswith(name + _ASIDE))
    kept = f"{path}{_ASIDE}{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    for ending in ("-shm", "-wal", ""):  # SQLite would apply a log that stays to the new file
        with contextlib.suppress(FileNotFoundError):
            os.rename(path + ending, kept + ending)
    main = [entry for entry in earlier if not entry.endswith(("-shm", "-wal"))]
    for entry in earlier:
        if not main or not entry.startswith(main[-1]):
            os.unlink(os.path.join(above, entry))
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
        # After a power cut the last transactions may be missing, the rest is intact (sqlite.org/wal.html).
        connection.execute("PRAGMA synchronous = NORMAL")
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: str) -> None:
    """Create an empty database at ``path`` unless there is a file.

    The file gets its name when it is complete, because two processes that turn one file into a database with
    a log do not wait for each other but fail. Raises DamagedError for a link, which is never followed.
    """
    if os.path.islink(path):
        raise DamagedError(
            f"The job history {path} is a link; the agent sets it aside the next time it writes."
        )
    if os.path.exists(path):
        return
    fresh = f"{path}.{os.urandom(6).hex()}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(descriptor, 0o644)  # its directory decides who can open it
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
            f"The job history {path} is of version {version}, and this program knows {VERSION}; a newer "
            "program wrote it, so install that again."
        )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _check(connection: sqlite3.Connection, path: str, fully: bool) -> None:
    """Read every page once per boot: a power cut or a failing disk damages it."""
    boot = clock.boot_id()
    row = connection.execute("SELECT value FROM notes WHERE name = ?", (_CHECKED,)).fetchone()
    if row and row[0] == boot and not fully:
        return
    result = connection.execute(f"PRAGMA {'integrity' if fully else 'quick'}_check(1)").fetchone()
    if result is None or result[0] != "ok":
        raise DamagedError(
            f"The job history {path} is damaged ({result and result[0]}); the agent sets it aside the next "
            "time it writes."
        )
    connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (_CHECKED, boot))


def open_readable(path: str) -> Optional[sqlite3.Connection]:
    """Open the database at ``path`` for reading; None if it is missing or older.

    Raises HistoryError when it cannot be read.
    """
    try:
        os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HistoryError(
            f"The job history {path} cannot be read ({error.strerror}); run as root, or as a member of the "
            "group of its directory."
        ) from error
    try:
        try:
            return _reader(path, "mode=ro")
        except sqlite3.OperationalError:
            # Without a writer there is no log, and a user without the right to write in the directory cannot
            # create its index. The file alone is then complete (sqlite.org/wal.html, "Read-Only Databases").
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
    connection.close()  # the next writer migrates it
    return None


@contextlib.contextmanager
def acting_as_owner(directory: str) -> Iterator[None]:
    """Let root act as the owner of ``directory``; other users stay as they are.

    Files that root creates there then belong to the owner, and root follows no link that leads where the
    owner may not write. Raises HistoryError if this root may not change its user.
    """
    try:
        owner = os.stat(directory)
    except OSError:  # opening the database there says why
        owner = None
    if owner is None or os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    with contextlib.ExitStack() as undone:
        try:
            os.setgroups([owner.st_gid])
            undone.callback(os.setgroups, groups)
            os.setegid(owner.st_gid)
            undone.callback(os.setegid, group)
            os.seteuid(owner.st_uid)
            undone.callback(os.seteuid, 0)
        except OSError as error:
            raise HistoryError(
                f"The job history in {directory} cannot be used, because root may not act as its owner here "
                f"({error.strerror}); run with CAP_SETUID and CAP_SETGID, or as that user."
            ) from error
        yield
