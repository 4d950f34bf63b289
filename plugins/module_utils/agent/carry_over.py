"""Bringing what an earlier version left on this host to where things lie now."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import stat
import time

from ..errors import CiError
from ..host.durable import make_directory, sync_path
from ..host.paths import Paths
from ..store import links

#: The user of the agent's services.
USER = "coldvox-agent"
# The database itself last: as long as it is there, an interrupted move is finished by the next.
_FILES = ("-wal", "")


def carry_over(paths: Paths, user: str = USER) -> list[str]:
    """Make the directory of the history for ``user``; the database of an earlier version moves into it, with
    all that lies beside it. Return the names of what moved.

    The directory comes under its name when it is complete, so a history is never begun anew beside the one
    that is still to move, and an interrupted move is finished by the next. Nobody may use the database
    meanwhile. Raises CiError when something else has the name of the directory, or that of the link to the
    database which takes its former place.
    """
    account = pwd.getpwnam(user)
    home, former = os.path.dirname(paths.history), paths.former_history
    if _is_directory(home, account):
        os.chown(home, account.pw_uid, account.pw_gid, follow_symlinks=False)
        moved = _set_aside(former, home)
    else:
        moved = _moved(former, home, account)
    # Also over another link: the agent's user could make one as long as the directory above was open to it.
    links.swap(former, os.path.relpath(paths.history, paths.state))
    sync_path(paths.state)
    return moved


def _moved(former: str, home: str, account: pwd.struct_passwd) -> list[str]:
    """Move all files of the database ``former`` into the new directory ``home``."""
    above, name = os.path.split(former)
    fresh = os.path.join(above, f".{os.path.basename(home)}")
    if not _is_directory(fresh, account):
        make_directory(fresh)
    names = [one for one in os.listdir(above) if one == name or one.startswith((f"{name}-", f"{name}."))]
    moved = sorted(one for one in names if _is_file(os.path.join(above, one)))
    for one in moved:
        os.rename(os.path.join(above, one), os.path.join(fresh, one))
    os.chown(fresh, account.pw_uid, account.pw_gid)
    os.rename(fresh, home)
    return moved


def _set_aside(former: str, home: str) -> list[str]:
    """Keep a database that an older version began, after the move, beside the one that is used."""
    if not _is_file(former):
        return []
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{former}-shm")
    kept = _free(former, home)
    for ending in _FILES:
        with contextlib.suppress(FileNotFoundError):
            os.rename(former + ending, kept + ending)
    return [os.path.basename(former)]


def _free(former: str, home: str) -> str:
    """Return a path in ``home`` that neither the database ``former`` nor its log takes from another one.

    It tells when the database was last written, so one whose log has moved before finds that again.
    """
    written = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(os.lstat(former).st_mtime))
    first = os.path.join(home, f"{os.path.basename(former)}.older-{written}")
    paths = itertools.chain([first], (f"{first}.{number}" for number in itertools.count(2)))
    logged = os.path.lexists(f"{former}-wal")
    return next(
        path for path in paths if not (os.path.lexists(path) or (logged and os.path.lexists(f"{path}-wal")))
    )


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _is_directory(path: str, account: pwd.struct_passwd) -> bool:
    """Tell whether ``path`` is a directory of ``account`` or our own; raises CiError for anything else."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (account.pw_uid, os.geteuid()):
        raise CiError(
            f"{path} is to be the directory of the job history and is none of {account.pw_name}'s; look at "
            "what it is, move it away as root, and converge again."
        )
    return True
