"""The spool: what the hooks of an instance tell the rest of the host, a file for each event.

``<run>/jobs/<instance>`` belongs to that instance's account, so a job can lie about itself and about nobody
else. Whoever reads here reads hostile text.

What jobs left in the directory for locks, which all accounts share and one could fill.
"""

from __future__ import annotations

import contextlib
import grp
import heapq
import itertools
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from typing import Any, Optional

from ...errors import CiError
from ...host import sweep
from ...host.directories import read_json
from ...host.durable import replace_file
from ...host.flock import remove_free
from ...host.paths import Paths
from ...runner.account import account_of
from ...runner.layout import check_name, instance_user

#: Its services take the records in (role agent).
READERS = "coldvox-agent"
_MOST_BYTES = 65536
_RECORDS = (".started.json", ".completed.json")
# In memory, and of no use to anybody when nobody takes them in.
_MOST_RECORDS = 1000
_CLEANING_SECONDS = 60.0


def spool_directory(run_dir: str, instance: str) -> str:
    """Return the directory of the records of ``instance``."""
    return os.path.join(Paths(run=run_dir).jobs, instance)


def prepare(run_dir: str, instance: str) -> str:
    """Make the spool of ``instance``, or give it back to its account; return its path. Needs root.

    Raises CiError when the host has no such account.
    """
    account = account_of(instance_user(check_name(instance)))
    path = spool_directory(run_dir, instance)
    for directory in (os.path.dirname(path), path):
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o755)
    readers = account.gid
    with contextlib.suppress(KeyError):
        readers = grp.getgrnam(READERS).gr_gid
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(opened, account.uid, readers)
        os.fchmod(opened, 0o770)
    finally:
        os.close(opened)
    return path


def put_record(run_dir: str, instance: str, name: str, record: Mapping[str, Any]) -> None:
    """Write one record at once or not at all; raises CiError when the spool cannot be written."""
    directory = spool_directory(run_dir, instance)
    try:
        replace_file(os.path.join(directory, name), json.dumps(record) + "\n", durable=False)
    except OSError as error:
        raise CiError(
            f"this job is not recorded, because {directory} cannot be written ({error.strerror}); restart "
            "the runner's unit, which makes it, or converge the host."
        ) from error


def prune(run_dir: str, instance: str, keep: int = _MOST_RECORDS) -> int:
    """Remove what is no record, and all but the newest ``keep`` records, which nobody took in for long;
    return how many files went.
    """
    directory = spool_directory(run_dir, instance)
    # Again and again one by one: a job may have put more names there than fit into memory.
    records = (one for one in _found(directory) if _is_record(*one))
    newest = heapq.nlargest(keep, ((status.st_mtime_ns, name) for status, name in records))
    unfinished = (status.st_ctime_ns for status, name in _found(directory) if _is_unfinished(status, name))
    # The hook of the next job may be about to give one its name.
    last = max(unfinished, default=0)
    gone = 0
    for status, name in _found(directory):
        if _is_record(status, name):
            stays = len(newest) < keep or (status.st_mtime_ns, name) >= newest[-1]
        else:
            stays = _is_unfinished(status, name) and status.st_ctime_ns >= last
        if not stays and not stat.S_ISDIR(status.st_mode):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(directory, name))
                gone += 1
    with contextlib.suppress(OSError):
        _remove_directories(directory)
    return gone


def _is_record(status: os.stat_result, name: str) -> bool:
    """Tell whether it can be a record: whoever takes records in removes it then."""
    # What its reader may not open would stay.
    return (
        _is_short(status) and status.st_mode & 0o444 == 0o444 and name[0] != "." and name.endswith(_RECORDS)
    )


def _is_unfinished(status: os.stat_result, name: str) -> bool:
    return _is_short(status) and name[0] == "."


def _is_short(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_size <= _MOST_BYTES


def _remove_directories(directory: str) -> None:
    """Remove the directories that a job made in its spool: they are no records and take the room of all."""
    deadline = time.monotonic() + _CLEANING_SECONDS
    with contextlib.ExitStack() as opened:
        folder = sweep.open_directory(directory)
        opened.callback(os.close, folder)
        for entry in opened.enter_context(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    sweep.remove(folder, entry.name, lambda: time.monotonic() > deadline)


def latest(run_dir: str, instance: str, event: str) -> Optional[dict[str, Any]]:
    """Return the newest record of ``event``, None when there is none or it is no record."""
    directory = spool_directory(run_dir, instance)
    told = (one for one in _found(directory) if one[1].endswith(f".{event}.json") and one[1][0] != ".")
    _at, newest = max(((status.st_mtime_ns, name) for status, name in told), default=(0, ""))
    return read_json(os.path.join(directory, newest), _MOST_BYTES) if newest else None


def _found(directory: str) -> Iterator[tuple[os.stat_result, str]]:
    """Yield status and name of what is in ``directory``, as far as it can be read."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                yield entry.stat(follow_symlinks=False), entry.name


# As many as the directory's file system holds (role agent).
_MOST_FILES = 4096
_LOCK_CLEANING_SECONDS = 60.0


def prune_locks(directory: str, owner: int, most: int = _MOST_FILES) -> int:
    """Remove from ``directory`` what belongs to the user id ``owner``, at most ``most``; return how much
    went.

    A lock that somebody holds stays. Needs the right to remove files of others there.
    """
    deadline = time.monotonic() + _LOCK_CLEANING_SECONDS
    gone = 0
    with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
        folder = sweep.open_directory(directory)
        opened.callback(os.close, folder)
        entries = opened.enter_context(os.scandir(folder))
        for entry in itertools.islice((one for one in entries if _belongs(one, owner)), most):
            with contextlib.suppress(OSError):
                if entry.is_file(follow_symlinks=False):
                    gone += remove_free(entry.name, folder, owner)
                    continue
                if entry.is_dir(follow_symlinks=False):
                    sweep.remove(folder, entry.name, lambda: time.monotonic() > deadline)
                else:
                    os.unlink(entry.name, dir_fd=folder)
                gone += 1
    return gone


def _belongs(entry: os.DirEntry[str], owner: int) -> bool:
    with contextlib.suppress(OSError):
        return entry.stat(follow_symlinks=False).st_uid == owner
    return False
