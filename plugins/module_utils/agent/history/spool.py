"""Hook records on their way into the history, read as an attacker's files.

The jobs of an instance can write to ``<run>/jobs/<instance>``. A file is removed only after the database has
its record, and a record that is read again is recognized: a crash in between neither loses nor doubles a job.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ...errors import CiError
from ...runner.layout import check_name, instance_user
from .database import History
from .endings import PendingEndings, remove
from .jobs import COMPLETED, STARTED, Record, RecordError, checked, clean, decode
from .schema import DamagedError

MOST_BYTES = 65536
# Per instance and pass; more files wait for the next pass.
MOST_FILES = 2000
# A hook renames its file at once, so a file that still has another name after this time is abandoned.
_ABANDONED_SECONDS = 3600.0
_MOST_REASONS = 10
# A hook writes its record at once. The kernel sets the time of the file's last change by the same clock.
_AHEAD_SECONDS = 5.0
_SUFFIXES = (f".{STARTED}.json", f".{COMPLETED}.json")  # in the order in which a job has them
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A planted FIFO must not block the open.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Ingested:
    """Count of new records, count of refused files, and the reasons of the first ten."""

    count: int
    refused: int
    reasons: tuple[str, ...]


class _Pass:
    """One pass over the spool directory of one instance."""

    def __init__(self, directory: int, instance: str) -> None:
        self.directory = directory
        self.instance = instance
        self.records: list[Record] = []
        self.taken: list[str] = []
        self.reasons: list[str] = []
        status = os.fstat(directory)
        self.owners = _owners(status, instance)
        # The owner of the directory can remove files that it cannot read.
        self.own = status.st_uid == os.geteuid()

    def read(self) -> None:
        """Read the files, each job's start before its end, also if the clock went back."""
        by_job: dict[str, list[tuple[int, Record]]] = {}
        for name in self._names():
            try:
                record = self._record(name)
            except RecordError as error:
                self.reasons.append(f"{self.instance}/{clean(name)}: {error}.")
                self.taken.append(name)
                continue
            except PermissionError:
                self.reasons.append(f"{self.instance}/{clean(name)}: this user may not read it.")
                if self.own:
                    self.taken.append(name)
                continue
            except FileNotFoundError:
                continue  # another process has added and removed it
            stem, place = _split(name)
            by_job.setdefault(stem, []).append((place, record))
            self.taken.append(name)
        for events in sorted(by_job.values(), key=lambda events: min(record.at for _place, record in events)):
            self.records += [record for _place, record in sorted(events, key=lambda event: event[0])]

    def _names(self) -> Iterator[str]:
        with os.scandir(self.directory) as entries:
            for entry in itertools.islice(entries, MOST_FILES):
                if not entry.name.startswith(".") and entry.name.endswith(_SUFFIXES):
                    yield entry.name
                elif self._abandoned(entry.name):
                    self.taken.append(entry.name)

    def _abandoned(self, name: str) -> bool:
        with contextlib.suppress(FileNotFoundError):
            written = os.stat(name, dir_fd=self.directory, follow_symlinks=False).st_mtime
            return abs(time.time() - written) > _ABANDONED_SECONDS
        return False

    def _record(self, name: str) -> Record:
        try:
            descriptor = os.open(name, _OPEN_FILE, dir_fd=self.directory)
        except (FileNotFoundError, PermissionError):
            raise
        except OSError as error:
            raise RecordError(f"it cannot be opened ({error.strerror})") from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise RecordError("it is no regular file")
            if status.st_uid not in self.owners:
                raise RecordError(f"it belongs to user id {status.st_uid}")
            text = os.read(descriptor, MOST_BYTES + 1)  # one read of a regular file returns all of it
        finally:
            os.close(descriptor)
        if len(text) > MOST_BYTES:
            raise RecordError(f"it is larger than {MOST_BYTES} bytes")
        # A job may not set its own result.
        record = checked(decode(text))._replace(result="")
        if record.instance != self.instance:
            raise RecordError(f"it names the instance '{record.instance}'")
        if not name.endswith(f".{record.event}.json"):
            raise RecordError(f"its event '{record.event}' differs from its name")
        if max(record.at, record.queued_at or 0) > status.st_ctime + _AHEAD_SECONDS:
            raise RecordError("its time is later than its file")
        return record

    def remove_taken(self) -> None:
        """Remove added and refused files; an entry that stays is a reason."""
        for name in self.taken:
            problem = remove(name, self.directory)
            if problem:
                self.reasons.append(f"{self.instance}/{clean(name)}: it cannot be removed ({problem}).")


def ingest(history: History, spool_dir: str) -> Ingested:
    """Move the records below ``spool_dir``, and root's results, into ``history``.

    A file that is no record of its own instance is refused, counted and removed too. Raises HistoryError when
    the database cannot take the records; then the files stay.
    """
    # Read before the records of the jobs and added after them, so every ending meets its job's records.
    pending = PendingEndings(os.path.dirname(spool_dir))
    pending.read()
    count, refused = 0, 0
    reasons: list[str] = []
    for instance in _instances(spool_dir):
        try:
            directory = os.open(os.path.join(spool_dir, instance), _OPEN_DIRECTORY)
        except OSError as error:
            reasons.append(f"{clean(instance)}: its records cannot be read ({error.strerror}).")
            continue
        try:
            spool = _Pass(directory, instance)
            spool.read()
            refused += len(spool.reasons)
            count += _add(history, spool.records)
            spool.remove_taken()
            reasons += spool.reasons
        finally:
            os.close(directory)
    if pending.endings:
        count += history.add_endings(pending.endings)
    pending.remove()
    refused += len(pending.reasons)
    reasons += pending.reasons
    return Ingested(count, refused, tuple(reasons[:_MOST_REASONS]))


def _add(history: History, records: list[Record]) -> int:
    if not records:
        return 0
    try:
        return history.add(records)
    except DamagedError:
        return history.add(records)  # into the new database: the damaged one has just been set aside


def _instances(spool_dir: str) -> list[str]:
    try:
        names = sorted(os.listdir(spool_dir))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CiError(
            f"The records of jobs in {spool_dir} cannot be listed ({error.strerror}); run with the "
            "permissions of the agent."
        ) from error
    return [name for name in names if _is_instance(name)]


def _is_instance(name: str) -> bool:
    with contextlib.suppress(CiError):
        return check_name(name) == name
    return False


def _owners(directory: os.stat_result, instance: str) -> set[int]:
    """Return the ids of the users whose records of ``instance`` count."""
    owners = {0, os.geteuid(), directory.st_uid}
    with contextlib.suppress(KeyError):
        owners.add(pwd.getpwnam(instance_user(instance)).pw_uid)
    return owners


def _split(name: str) -> tuple[str, int]:
    """Return the part of the name that a job's records share, and this one's place."""
    place = next(index for index, suffix in enumerate(_SUFFIXES) if name.endswith(suffix))
    return name[: -len(_SUFFIXES[place])], place
