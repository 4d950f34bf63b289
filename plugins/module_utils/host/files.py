"""Bring a set of files, links and directories to a state.

Plan first, then write atomically. Every write is a new file in the same directory, synced and renamed into
place. A reader sees the old or the new content. A link at the path is replaced and never followed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import tempfile
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Optional

from .directories import PathError, open_directory
from .file_state import (
    MISSING,
    Entry,
    Present,
    as_wanted,
    directory_behind,
    group_id,
    look,
    parent,
    refuse_loss,
    user_id,
)
from .originals import Originals
from .process import Run

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FileSetError(PathError):
    """A file set that cannot be brought to its wanted state."""


@dataclass(frozen=True)
class Change:
    """A difference between the wanted and the present state.

    Without ``entry``, a path to remove.
    """

    path: str
    present: Present
    entry: Optional[Entry]


@dataclass(frozen=True)
class FileSet:
    """The input of a call: entries, absent paths, and commands after a change."""

    name: str
    entries: Sequence[Entry]
    absent: Sequence[str]
    commands: Sequence[Sequence[str]]
    state_dir: str

    @property
    def marker(self) -> str:
        """The file that exists from the first change until all commands have succeeded."""
        return os.path.join(self.state_dir, "pending", self.name)


def check_set(wanted: FileSet) -> None:
    """Raise FileSetError for a set that contradicts itself or clears near the root."""
    if not _NAME.fullmatch(wanted.name):
        raise FileSetError(
            f"'{wanted.name}' cannot name a file set; use lower case letters, digits and '_', a letter first."
        )
    paths = [entry.path for entry in wanted.entries]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        raise FileSetError(f"The file set '{wanted.name}' has '{twice[0]}' more than once; keep one of them.")
    for path in wanted.absent:
        if len([part for part in path.split("/") if part]) < 2:
            raise FileSetError(
                f"The file set '{wanted.name}' would remove '{path}', which is too near the root; "
                "name the path below it."
            )
        inside = [kept for kept in paths if f"{kept}/".startswith(path.rstrip("/") + "/")]
        if inside:
            raise FileSetError(
                f"The file set '{wanted.name}' removes '{path}' but keeps '{inside[0]}'; choose one."
            )


def plan(wanted: FileSet) -> list[Change]:
    """Return the differences in the given order, entries first; change nothing.

    For an absent path that others had used before, the change restores what was there.
    """
    changes = []
    originals = Originals(wanted.state_dir)
    for entry in wanted.entries:
        present = look(entry.path)
        if present.kind == "link" and entry.kind == "directory":
            present = directory_behind(entry.path, present)
        if as_wanted(entry, present):
            continue
        refuse_loss(entry, present)
        changes.append(Change(entry.path, present, entry))
    for path in wanted.absent:
        present, original = look(path), originals.entry_for(path)
        if original or (present.kind != "missing" and not originals.restored(path)):
            changes.append(Change(path, present, original))
    return changes


def validate(changes: Sequence[Change], run: Run) -> None:
    """Run the checker of each changed file on a private copy with the same base name.

    Raises FileSetError for the first refused file; nothing is written before.
    """
    for change in changes:
        entry = change.entry
        if entry is None or not entry.validate:
            continue
        with tempfile.TemporaryDirectory(prefix="coldvox-validate-") as folder:
            copy = os.path.join(folder, os.path.basename(entry.path))
            with open(copy, "wb") as stream:
                stream.write(entry.content)
            argv = [word.replace("%s", copy) for word in shlex.split(entry.validate)]
            done = run(argv)
        if done.status != 0:
            reason = _last_line(done.stderr or done.stdout)
            raise FileSetError(
                f"'{entry.path}' is left as it was, because '{argv[0]}' refuses its new content ({reason}); "
                "correct its template or its variables."
            )


def converge(
    wanted: FileSet, changes: Sequence[Change], run: Run, warn: Callable[[str], None]
) -> list[list[str]]:
    """Make ``changes`` and run the commands of the set if they are due.

    What others had at a path is kept before it is replaced, and ``warn`` says where. Return the commands that
    ran. The marker survives a crash between the first write and the last command, so that the next call runs
    the commands. A failure of a command that begins with ``-`` goes to ``warn``,
    as systemd ignores it in its units.
    """
    if changes and wanted.commands:
        record = json.dumps({"commands": [list(argv) for argv in wanted.commands]}) + "\n"
        owner, group = str(os.geteuid()), str(os.getegid())
        marker = Entry(wanted.marker, "file", 0o644, owner, group, content=record.encode())
        apply(Change(marker.path, MISSING, marker))
    _apply_all(wanted, changes, warn)
    if not commands_due(wanted, changes):
        return []
    for argv in wanted.commands:
        optional = argv[0].startswith("-")
        program = argv[0].removeprefix("-")
        done = run([program, *argv[1:]])
        if done.status == 0:
            continue
        failure = (
            f"The files of '{wanted.name}' are in place, but '{' '.join([program, *argv[1:]])}' failed with "
            f"status {done.status} ({_last_line(done.stderr or done.stdout)}); correct that and"
        )
        if not optional:
            raise FileSetError(f"{failure} converge again, which repeats the command.")
        warn(f"{failure} run it on the host, if you need it there.")
    _remove(wanted.marker)
    return [list(argv) for argv in wanted.commands]


def _apply_all(wanted: FileSet, changes: Sequence[Change], warn: Callable[[str], None]) -> None:
    originals = Originals(wanted.state_dir)
    removed = [change.path for change in changes if change.path in wanted.absent]
    replaced = [(c.entry, c.present) for c in changes if c.entry is not None and c.path not in wanted.absent]
    copies, foreign = originals.copies(replaced)
    for entry in copies:
        apply(Change(entry.path, MISSING, entry))
    for path in foreign:
        warn(
            f"'{path}' was there before and is replaced. The original is in {originals.directory} and comes "
            "back when the role is removed."
        )
    for change in changes:
        apply(change)
    for entry in originals.after_removal(removed):
        apply(Change(entry.path, MISSING, entry))


def commands_due(wanted: FileSet, changes: Sequence[Change]) -> bool:
    """Return whether the commands must run.

    For a change, or because an earlier run did not end.
    """
    return bool(wanted.commands) and (bool(changes) or look(wanted.marker).kind != "missing")


def apply(change: Change) -> None:
    """Make ``change``.

    Raises FileSetError for an unknown owner, and OSError from the disk.
    """
    entry = change.entry
    if entry is None:
        _remove(change.path)
        return
    uid, gid = user_id(entry.owner), group_id(entry.group)
    if uid is None or gid is None:
        missing = f"user '{entry.owner}'" if uid is None else f"group '{entry.group}'"
        raise FileSetError(
            f"'{entry.path}' must belong to {missing}, which this host does not have; create it first."
        )
    if entry.kind == "directory":
        _keep_directory(entry, uid, gid)
    else:
        _replace(entry, uid, gid)


def _replace(entry: Entry, uid: int, gid: int) -> None:
    with parent(entry.path, create=True) as (descriptor, name):
        if descriptor is None:
            raise _gone(entry.path)
        fresh = f".coldvox-{uuid.uuid4().hex}"
        try:
            if entry.kind == "link":
                os.symlink(entry.target, fresh, dir_fd=descriptor)
                os.chown(fresh, uid, gid, dir_fd=descriptor, follow_symlinks=False)
            else:
                _write_new(descriptor, fresh, entry, uid, gid)
            os.rename(fresh, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh, dir_fd=descriptor)
            raise
        os.fsync(descriptor)


def _write_new(descriptor: int, name: str, entry: Entry, uid: int, gid: int) -> None:
    with open(os.open(name, _CREATE, 0o600, dir_fd=descriptor), "wb") as stream:
        stream.write(entry.content)
        stream.flush()
        os.fchown(stream.fileno(), uid, gid)
        os.fchmod(stream.fileno(), entry.mode)
        os.fsync(stream.fileno())


def _keep_directory(entry: Entry, uid: int, gid: int) -> None:
    descriptor = open_directory(entry.path, create=True)
    if descriptor is None:
        raise _gone(entry.path)
    try:
        os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, entry.mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    with parent(path) as (descriptor, name):
        if descriptor is None:
            return
        try:
            os.unlink(name, dir_fd=descriptor)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            # Through the descriptor, so that no other process can replace the parent directory.
            shutil.rmtree(f"/proc/self/fd/{descriptor}/{name}")
        os.fsync(descriptor)


def _gone(path: str) -> FileSetError:
    return FileSetError(f"The directory of '{path}' was removed during the write; converge again.")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "it printed nothing"
