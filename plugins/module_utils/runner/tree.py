"""The runner's own files in an instance: hard links into a tree of the store.

So ten instances take the space of a single one. Files and directories are real, never a symbolic link to
``bin``: the runner derives its root from the real path of its program. They belong to root, so no job can
write them. A link at ``bin`` is the trace of a self-update.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from typing import Optional

from ..errors import CiError
from ..host.hard_links import link_folder
from .layout import Layout

_DIGEST = re.compile(r"[0-9a-f]{64}")
_ENTRY_POINTS = ("run.sh", "config.sh", "bin/Runner.Listener")
# docs.github.com, "Updating runners": without self-update, within 30 days.
_MAX_AGE_DAYS = 30
_DAY_SECONDS = 86400.0
_LEFT_BY_UPDATES = re.compile(r"(?:bin|externals)\.[0-9.]+")


def tree_identity(tree: str) -> str:
    """Return an identity of the tree's contents.

    It is the digest in the name of a tree in the store, else a digest of the tree's listing.
    """
    name = os.path.basename(os.path.normpath(tree))
    if _DIGEST.fullmatch(name):
        return name
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(tree):
        folders.sort()
        for file in sorted(files):
            status = os.lstat(os.path.join(folder, file))
            digest.update(
                f"{os.path.relpath(folder, tree)}/{file} {status.st_size} {status.st_mtime_ns}\n".encode()
            )
    return digest.hexdigest()


def _check_tree(tree: str) -> None:
    """Raise CiError unless ``tree`` is an unpacked runner."""
    missing = [path for path in _ENTRY_POINTS if not os.path.isfile(os.path.join(tree, path))]
    if missing:
        raise CiError(
            f"'{tree}' is not an unpacked runner, it has no {', '.join(missing)}; give the path of the "
            "runner's tree in the store as archive."
        )


def is_linked(layout: Layout, tree: str) -> bool:
    """Return whether the instance's entry points are still those of ``tree``."""
    return all(_same_file(layout.file(path), os.path.join(tree, path)) for path in _ENTRY_POINTS) and not any(
        os.path.islink(layout.file(name)) for name in ("bin", "externals")
    )


def _same_file(path: str, original: str) -> bool:
    try:
        mine, theirs = os.lstat(path), os.lstat(original)
    except OSError:
        return False
    if mine.st_dev == theirs.st_dev and mine.st_ino == theirs.st_ino:
        return True
    # The file is a copy if the store is on another file system.
    same = (mine.st_size, stat.S_IMODE(mine.st_mode)) == (theirs.st_size, stat.S_IMODE(theirs.st_mode))
    return (
        same and stat.S_ISREG(mine.st_mode) and mine.st_uid == theirs.st_uid and mine.st_dev != theirs.st_dev
    )


def link_tree(tree: str, layout: Layout) -> None:
    """Put the files of ``tree`` into the instance, which must not run.

    Link all files into a new directory, then rename its entries into place. An entry with the same name goes
    away: the old version, a link of a self-update, or a job's file.
    """
    _check_tree(tree)
    incoming, outgoing = layout.record("incoming"), layout.record("outgoing")
    for leftover in (incoming, outgoing):
        if os.path.lexists(leftover):
            shutil.rmtree(leftover)
    link_folder(tree, incoming)
    os.mkdir(outgoing, 0o700)
    for name in sorted(os.listdir(incoming)):
        if os.path.lexists(layout.file(name)):
            os.rename(layout.file(name), os.path.join(outgoing, name))
        os.rename(os.path.join(incoming, name), layout.file(name))
    for name in os.listdir(layout.root):
        if _LEFT_BY_UPDATES.fullmatch(name):
            os.rename(layout.file(name), os.path.join(outgoing, name))
    os.rmdir(incoming)
    shutil.rmtree(outgoing)


def age_days(tree: str, now: float) -> Optional[float]:
    """Return the age of the unpacked runner ``tree`` in days.

    It counts from the time its program was built; ``now`` is Unix time. None without such a program.
    """
    try:
        built = os.stat(os.path.join(tree, "bin", "Runner.Listener")).st_mtime
    except OSError:
        return None
    return max(0.0, (now - built) / _DAY_SECONDS)


def age_warning(age: Optional[float], limit_days: int) -> str:
    """Return a warning about a runner that is ``age`` days old, or an empty text.

    ``limit_days`` 0 means no warning.
    """
    if not limit_days or age is None or age <= limit_days:
        return ""
    return (
        f"The runner was built {age:.0f} days ago and does not update itself; GitHub gives it no more jobs "
        f"{_MAX_AGE_DAYS} days after a newer release. Raise github_runner_version, or use latest."
    )
