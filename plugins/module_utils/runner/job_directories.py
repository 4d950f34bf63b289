"""The directories of jobs: judge whether the account can use them, give them back, clear them.

A container that a job starts as root can change the owner of the work directory. Then each job fails before
its first step, and nothing but its result shows it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import time
from collections.abc import Sequence
from typing import Optional

from ..errors import CiError
from ..host import sweep
from ..host.mounts import noexec_reason, space_reason
from .account import Account
from .layout import Layout

# A job can create more entries than this; the runner's own are among the first.
_MOST_ENTRIES = 1000
# root made them: the trash of a cleanup, and the file system itself.
_NOT_OF_JOBS = frozenset([sweep.TRASH, "lost+found"])
_SWEEP_SECONDS = 60.0


def not_owned(layout: Layout, account: Account, work_dir: str) -> str:
    """Return what in the instance is not its account's to use; empty if all is.

    The runner makes a relative ``work_dir`` itself, so that may be missing. Ask only while no job runs: a
    container of a job may have files of its own.
    """
    work = layout.file(work_dir)
    try:
        for place in _places(layout, work_dir):
            reason = _foreign(place, account)
            if reason:
                return reason
        if work not in _places(layout, work_dir):
            return ""
        with os.scandir(work) as entries:
            for entry in itertools.islice(entries, _MOST_ENTRIES):
                owner = entry.stat(follow_symlinks=False).st_uid
                if owner != account.uid and entry.name not in _NOT_OF_JOBS:
                    return f"'{entry.path}' belongs to user id {owner} and not to {account.name}"
    except OSError as error:
        return f"'{error.filename}' cannot be read ({error.strerror})"
    return ""


def unusable(layout: Layout, account: Account, work_dir: str) -> str:
    """Return why jobs cannot work in the instance and what to do, empty if they can.

    See ``not_owned`` for when to ask.
    """
    reason = not_owned(layout, account, work_dir)
    if reason:
        return f"{reason}; converge this host, which gives it back to the account"
    for place in _places(layout, work_dir):
        with contextlib.suppress(OSError):
            reason = noexec_reason(place) or space_reason(place)
            if reason:
                return f"its jobs cannot work in '{place}', because {reason}"
    return ""


def _places(layout: Layout, work_dir: str) -> list[str]:
    """Return the directories to judge. Where a link in the instance leads is not root's to change."""
    work = layout.file(work_dir)
    judged = os.path.isabs(work_dir) or (os.path.lexists(work) and not os.path.islink(work))
    return [layout.home, *([work] if judged else [])]


def _foreign(place: str, account: Account) -> str:
    status = os.lstat(place)
    if not stat.S_ISDIR(status.st_mode):
        return f"'{place}' is no directory"
    if status.st_uid != account.uid:
        return f"'{place}' belongs to user id {status.st_uid} and not to {account.name}"
    if status.st_mode & 0o700 != 0o700:
        return f"'{place}' has the mode {stat.S_IMODE(status.st_mode):04o}, so {account.name} cannot use it"
    return ""


def give_back(layout: Layout, account: Account, work_dir: str) -> None:
    """Give the directories of jobs back to the account, and remove what others own in the work directory.

    No job may run. Raises CiError for a mount point of another owner, which can have a person's files.
    """
    deadline = time.monotonic() + _SWEEP_SECONDS

    def out_of_time() -> bool:
        return time.monotonic() > deadline

    for place in _places(layout, work_dir):
        if os.path.dirname(place) == layout.root and not os.path.isdir(place):
            clear(layout.root, [os.path.basename(place)])  # a job has put something else there
        with contextlib.ExitStack() as opened:
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(place, 0o700)
                folder = sweep.open_directory(place)
            except OSError as error:
                raise CiError(
                    f"'{place}' cannot be used as a directory of jobs ({error.strerror}); move it away, then "
                    "run again."
                ) from error
            opened.callback(os.close, folder)
            status = os.fstat(folder)
            if status.st_uid != account.uid:
                if not os.path.isabs(work_dir) and os.path.ismount(place):
                    raise CiError(
                        f"'{place}' is a mount point of user id {status.st_uid}; run 'chown {account.name} "
                        f"{place}' if it is for jobs alone, else unmount it."
                    )
                os.fchown(folder, account.uid, account.gid)
            if status.st_mode & 0o700 != 0o700:
                os.fchmod(folder, stat.S_IMODE(status.st_mode) | 0o700)
            if place != layout.home:
                trash = sweep.open_trash(folder, account.uid)
                opened.callback(os.close, trash)
                sweep.discard_foreign(folder, trash, account.uid, out_of_time)
                sweep.empty(trash, out_of_time)


def clear(directory: str, names: Optional[Sequence[str]] = None) -> None:
    """Remove ``names``, or everything, from ``directory``.

    Raises CiError if something stays.
    """
    with contextlib.ExitStack() as opened:
        folder = sweep.open_directory(directory)
        opened.callback(os.close, folder)
        trash = sweep.open_trash(folder)
        opened.callback(os.close, trash)
        if names is None:
            sweep.discard_all(folder, trash, [sweep.TRASH])
        else:
            for name in names:
                sweep.discard(folder, name, trash)
        left = bool(sweep.empty(trash, lambda: False).left)
        with contextlib.suppress(OSError):
            os.rmdir(sweep.TRASH, dir_fd=folder)
    here = os.listdir(directory)
    if left or (here if names is None else set(here).intersection(names)):
        raise CiError(
            f"Directory '{directory}' still has files of a job, perhaps a mount point; unmount it, then "
            "run again."
        )
