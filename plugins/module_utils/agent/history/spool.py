"""Taking in what the hooks of jobs left: every file is read as if an attacker had written it.

``<run>/jobs/<instance>`` can be written by that instance's jobs. A file leaves it only after the database has
it, and is recognised when it is read again, so a crash in between neither loses nor doubles a job.
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
from .endings import Left
from .records import COMPLETED, STARTED, Record, RecordError, checked, clean, decode
from .schema import DamagedError

MOST_BYTES = 65536
# Of one instance at a time; what is more waits for the next time.
MOST_FILES = 2000
# A writer renames its file into place within a moment; what is still under another name has been given up.
_ABANDONED_SECONDS = 3600.0
_MOST_REASONS = 10
_ENDINGS = (f".{STARTED}.json", f".{COMPLETED}.json")  # in the order in which a job has them
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A planted FIFO must not block the open.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Ingested:
    """How many records were new to the history, how many files were refused, and why, of the first ten."""

    count: int
    refused: int
    reasons: tuple[str, ...]


class _Pass:
    """One look at the spool of one instance."""

    def __init__(self, directory: int, instance: str) -> None:
        self.directory = directory
        self.instance = instance
        self.records: list[Record] = []
        self.taken: list[str] = []
        self.reasons: list[str] = []
        self.owners = _owners(directory, instance)

    def read(self) -> None:
        """Read what is there, the beginning of each job before its end, whatever their clocks said."""
        found: dict[str, list[tuple[int, Record]]] = {}
        for name in self._names():
            try:
                record = self._record(name)
            except RecordError as error:
                self.reasons.append(f"{self.instance}/{clean(name)}: {error}.")
                self.taken.append(name)
                continue
            except PermissionError:
                self.reasons.append(f"{self.instance}/{clean(name)}: it may not be read, and stays.")
                continue
            except FileNotFoundError:
                continue  # another process took it in
            stem, ending = _split(name)
            found.setdefault(stem, []).append((ending, record))
            self.taken.append(name)
        for events in sorted(found.values(), key=lambda one: min(event[1].at for event in one)):
            self.records += [event[1] for event in sorted(events, key=lambda one: one[0])]

    def _names(self) -> Iterator[str]:
        with os.scandir(self.directory) as entries:
            for entry in itertools.islice(entries, MOST_FILES):
                if not entry.name.startswith(".") and entry.name.endswith(_ENDINGS):
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
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise RecordError("it is no regular file")
            if found.st_uid not in self.owners:
                raise RecordError(f"it belongs to user id {found.st_uid}")
            text = os.read(descriptor, MOST_BYTES + 1)  # all of it: a regular file gives no less
        finally:
            os.close(descriptor)
        if len(text) > MOST_BYTES:
            raise RecordError(f"it is larger than {MOST_BYTES} bytes")
        # How it ended is not a job's to say.
        record = checked(decode(text))._replace(result="")
        if record.instance != self.instance:
            raise RecordError(f"it speaks for the instance '{record.instance}'")
        if not name.endswith(f".{record.event}.json"):
            raise RecordError(f"it says '{record.event}', its name does not")
        return record

    def remove_taken(self) -> None:
        """Remove what has been taken in or refused, as far as the directory lets it happen."""
        for name in self.taken:
            problem = self._remove(name)
            if problem:
                self.reasons.append(f"{self.instance}/{clean(name)}: it cannot be removed ({problem}).")

    def _remove(self, name: str) -> str:
        for remove in (os.unlink, os.rmdir):
            try:
                remove(name, dir_fd=self.directory)
            except FileNotFoundError:
                return ""  # another process was faster
            except IsADirectoryError:
                continue
            except OSError as error:
                return str(error.strerror)
            return ""
        return "it is a directory"


def ingest(history: History, spool_dir: str) -> Ingested:
    """Take the records of all instances below ``spool_dir``, and what root left beside it, into ``history``,
    and remove them there.

    What is no record of its own instance is removed as well, and counted as refused. Raises HistoryError
    when the database cannot take them: then they stay.
    """
    # Listed before the records of the jobs and taken in after them: what ended has been recorded before.
    left = Left(os.path.dirname(spool_dir))
    left.read()
    count, refused = 0, 0
    reasons: list[str] = []
    for instance in _instances(spool_dir):
        try:
            directory = os.open(os.path.join(spool_dir, instance), _OPEN_DIRECTORY)
        except OSError as error:
            reasons.append(f"{clean(instance)}: its records cannot be read ({error.strerror}).")
            continue
        try:
            one = _Pass(directory, instance)
            one.read()
            refused += len(one.reasons)
            count += _add(history, one.records)
            one.remove_taken()
            reasons += one.reasons
        finally:
            os.close(directory)
    if left.endings:
        count += history.add_endings(left.endings)
    left.remove()
    refused += len(left.reasons)
    reasons += left.reasons
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


def _owners(directory: int, instance: str) -> set[int]:
    """Return the ids of the users whose records of ``instance`` count."""
    owners = {0, os.geteuid(), os.fstat(directory).st_uid}
    with contextlib.suppress(KeyError):
        owners.add(pwd.getpwnam(instance_user(instance)).pw_uid)
    return owners


def _split(name: str) -> tuple[str, int]:
    """Return what the records of one job have in common in their names, and the place of this one."""
    place = next(index for index, ending in enumerate(_ENDINGS) if name.endswith(ending))
    return name[: -len(_ENDINGS[place])], place
