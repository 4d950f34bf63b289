"""The spool: the records of an instance's hooks, a file for each event.

Jobs can write to ``<run>/jobs/<instance>`` of their own instance only. So a job can falsify its own records,
but not those of other instances, and every reader must treat the files as hostile.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import json
import os
import pwd
import stat
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Optional

from ...errors import CiError
from ...host import sweep
from ...host.directories import read_json
from ...host.durable import replace_file
from ...host.paths import Paths
from ...runner.layout import check_name, instance_user

if TYPE_CHECKING:
    from ...host.process import Run

#: The user whose services read and remove the records (role agent).
AGENT = "coldvox-agent"
_MOST_BYTES = 65536
_RECORDS = (".started.json", ".completed.json")
# They take memory, and they wait here only while the metrics service does not run.
_MOST_RECORDS = 1000
# A record takes an inode and a page of memory; twice as many fit, because the next job runs before a prune.
_LIMITS = "size=8m,nr_inodes=2048,mode=0755"
_CLEANING_SECONDS = 60.0


def spool_directory(run_dir: str, instance: str) -> str:
    """Return the directory of the records of ``instance``."""
    return os.path.join(Paths(run=run_dir).jobs, instance)


def prepare(run_dir: str, instance: str, run: Optional[Run] = None) -> str:
    """Create the spool of ``instance``, or restore its owner; return its path.

    Each spool is a file system of its own, so a job can use up only the room of its own instance. The agent
    owns it, and the sticky bit lets the agent remove the files of jobs, but not the jobs close it. Needs
    root. Raises CiError when the host has no such account, OSError when it cannot be mounted.
    """
    from ...host import process, systemd  # here, because the hooks do not need them
    from ...runner.account import account_of

    account = account_of(instance_user(check_name(instance)))
    path = spool_directory(run_dir, instance)
    for directory in (os.path.dirname(path), path):
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o755)
    if not os.path.ismount(path):
        run = run or process.run
        _mount(run, path)
        with contextlib.suppress(CiError):  # healing starts a watcher that is missing
            # The path unit may watch the directory that this hides.
            systemd.begin_try_restart(run, f"coldvox-ci-job@{instance}.path")
    agent = 0
    with contextlib.suppress(KeyError):
        agent = pwd.getpwnam(AGENT).pw_uid
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(opened, agent, account.gid)
        os.fchmod(opened, 0o1770)
    finally:
        os.close(opened)
    return path


def _mount(run: Run, path: str) -> None:
    options = f"{_LIMITS},nosuid,nodev,noexec"
    done = run(["mount", "-t", "tmpfs", "-o", options, "coldvox-ci", path])
    if done.status != 0:
        raise OSError(errno.EIO, " ".join(done.stderr.split()), path)


def put_record(run_dir: str, instance: str, name: str, record: Mapping[str, Any]) -> None:
    """Write one record with one rename; raises CiError when that fails."""
    directory = spool_directory(run_dir, instance)
    try:
        replace_file(os.path.join(directory, name), json.dumps(record) + "\n", durable=False)
    except OSError as error:
        raise CiError(
            f"This job is not recorded, because {directory} cannot be written ({error.strerror}); restart "
            "the runner's unit, which creates it, or converge the host."
        ) from error


def prune(run_dir: str, instance: str, keep: int = _MOST_RECORDS) -> int:
    """Remove all but the newest ``keep`` records from a spool, and everything else.

    Returns the number of removed files.
    """
    directory = spool_directory(run_dir, instance)
    # Three passes, entry by entry: a job may have created more names than fit into memory.
    records = (entry for entry in _entries(directory) if _is_record(*entry))
    newest = heapq.nlargest(keep, ((status.st_mtime_ns, name) for status, name in records))
    unfinished = (status.st_ctime_ns for status, name in _entries(directory) if _is_unfinished(status, name))
    # The hook of the next job may be about to rename the last unfinished file.
    last = max(unfinished, default=0)
    removed = 0
    for status, name in _entries(directory):
        if _is_record(status, name):
            stays = len(newest) < keep or (status.st_mtime_ns, name) >= newest[-1]
        else:
            stays = _is_unfinished(status, name) and status.st_ctime_ns >= last
        if not stays and not stat.S_ISDIR(status.st_mode):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(directory, name))
                removed += 1
    with contextlib.suppress(OSError):
        _remove_directories(directory)
    return removed


def _is_record(status: os.stat_result, name: str) -> bool:
    """Return whether it can be a record. The reader of records removes it then.

    A file that the reader may not open would stay, so it does not count.
    """
    return (
        _is_short(status) and status.st_mode & 0o444 == 0o444 and name[0] != "." and name.endswith(_RECORDS)
    )


def _is_unfinished(status: os.stat_result, name: str) -> bool:
    return _is_short(status) and name[0] == "."


def _is_short(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_size <= _MOST_BYTES


def _remove_directories(directory: str) -> None:
    """Remove directories from a spool: they are not records, and use its file system."""
    deadline = time.monotonic() + _CLEANING_SECONDS
    with contextlib.ExitStack() as opened:
        folder = sweep.open_directory(directory)
        opened.callback(os.close, folder)
        for entry in opened.enter_context(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    sweep.remove(folder, entry.name, lambda: time.monotonic() > deadline)


def latest(run_dir: str, instance: str, event: str) -> Optional[dict[str, Any]]:
    """Return the newest record of ``event``, None if there is none or it is damaged."""
    directory = spool_directory(run_dir, instance)
    records = ((status.st_mtime_ns, name) for status, name in _entries(directory) if name[0] != ".")
    _at, newest = max((entry for entry in records if entry[1].endswith(f".{event}.json")), default=(0, ""))
    return read_json(os.path.join(directory, newest), _MOST_BYTES) if newest else None


def _entries(directory: str) -> Iterator[tuple[os.stat_result, str]]:
    """Yield status and name of each readable entry of ``directory``."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                yield entry.stat(follow_symlinks=False), entry.name
