"""What root does between two jobs of an instance: a fresh start for each listener.

No process of the last job lives then: systemd has killed the unit's control group. Root removes all that the
job may have left, by a list of what may stay, and restores the registration from its own copy. Nothing here
follows a link of the job.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import stat
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Callable, NamedTuple, Optional

from ..errors import CiError
from ..host import sweep, systemd
from ..host.process import Run
from .account import Account
from .instance_records import LIFE, TREE, read_record, write_record
from .layout import Layout, instance_unit

FILE = "runner.json"
#: What the owner can let stay for the next job, by name: directories below HOME and the work directory.
KEEPABLE: Mapping[str, Sequence[str]] = {
    # Never registry/src, which cargo compiles without a check, never bin, and never git/db, where `git fetch`
    # runs hooks and programs of the configuration.
    "cargo_registry": ("home/.cargo/registry/index", "home/.cargo/registry/cache"),
    "tool_cache": ("work/_tool",),
    "actions": ("work/_actions",),
    "target": ("home/target",),
    "sccache": ("home/.cache/sccache",),
}
# The files of a registration (configure.py); the runner reads the migrated ones first.
REGISTRATION_FILES = (
    ".runner",
    ".runner_migrated",
    ".credentials",
    ".credentials_migrated",
    ".credentials_rsaparams",
)
_ROOTS_OWN = (".coldvox", ".env", ".path")
_WORK = "_work"
_DIAGNOSTICS = "_diag"
_WORKER_LOG = "Worker_"
_LOGS = ("Runner_", _WORKER_LOG)
_MOST_LOGS = 100
_MOST_DIAGNOSTICS_BYTES = 8 * 2**20
_MOST_FILE_BYTES = 65536
# The first wait after a listener that ended without a job, and the longest.
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Rules = dict[str, Any]


class Settings(NamedTuple):
    """Whether a listener takes one job, and what may stay after it."""

    one_job: bool = False
    keep: tuple[str, ...] = ()


class Fresh(NamedTuple):
    """The result: whether there was a job, and how many entries were removed.

    ``restored`` are files of the registration that a job had changed.
    """

    had_job: bool
    removed: int
    restored: tuple[str, ...]


def read_settings(directory: str) -> Settings:
    """Return the settings in ``runner.json`` of ``directory``.

    Without the file, a listener takes job after job. Raises CiError for a file that cannot be used.
    """
    path = os.path.join(directory, FILE)
    try:
        with open(path, encoding="utf-8") as stream:
            data = json.load(stream)
        one_job, keep = data["one_job"], data["keep"]
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _broken(path, str(error)) from error
    if not isinstance(one_job, bool) or not isinstance(keep, list):
        raise _broken(path, "it does not have one_job and keep")
    return Settings(one_job, check_keep(keep))


def _broken(path: str, problem: str) -> CiError:
    return CiError(
        f"The settings in '{path}' cannot be used ({problem}); converge the host with the role github_runner."
    )


def check_keep(names: Sequence[object]) -> tuple[str, ...]:
    """Return ``names``; raises CiError for a name that is not in KEEPABLE."""
    for name in names:
        if name not in KEEPABLE:
            raise CiError(
                f"'{name}' cannot be kept between jobs; choose from: {', '.join(sorted(KEEPABLE))}."
            )
    return tuple(str(name) for name in names)


def kept(keep: Collection[str]) -> tuple[Rules, Rules]:
    """Return the rules for HOME and for the work directory.

    A rule maps a name to the rules below it; empty rules keep the whole directory. All other names go.
    """
    places: dict[str, Rules] = {"home": {}, "work": {}}
    for name in keep:
        for path in KEEPABLE[name]:
            first, *parts = path.split("/")
            rules = places[first]
            for part in parts:
                rules = rules.setdefault(part, {})
    return places["home"], places["work"]


def make_fresh(layout: Layout, account: Account, settings: Settings) -> Fresh:
    """Bring the instance to the state before its first job, but for what may stay.

    Raises CiError if something of the job stays. Needs root, or the account itself in a test.
    """
    with contextlib.ExitStack() as opened:
        root = _open(opened, layout.root)
        trash = sweep.open_trash(_open(opened, layout.records))
        opened.callback(os.close, trash)
        had_job, removed = _keep_diagnostics(layout, root), 0
        home, work = kept(settings.keep)
        work_dir = registered_work_directory(layout)
        rules: Rules = dict.fromkeys(_own_names(layout))
        if home:
            rules[os.path.basename(layout.home)] = home
        if os.path.isabs(work_dir):
            with contextlib.suppress(FileNotFoundError):
                removed = _keep_only(_open(opened, work_dir), trash, account, work)
        elif work:
            rules[work_dir] = work
        removed += _keep_only(root, trash, account, rules)
        restored = _restore_registration(layout, root, trash, account)
        _make_home(layout, root, account)
    return Fresh(had_job, removed, restored)


def _open(opened: contextlib.ExitStack, path: str) -> int:
    folder = sweep.open_directory(path)
    opened.callback(os.close, folder)
    return folder


def _own_names(layout: Layout) -> list[str]:
    """Return the names that belong to the runner and to root."""
    entries = read_record(layout, TREE).get("entries")
    if not isinstance(entries, list) or not entries:
        raise CiError(
            f"Instance '{layout.root}' has no list of the runner's files, so a job's files cannot be "
            "recognized; converge this host."
        )
    return [*map(str, entries), *_ROOTS_OWN, *REGISTRATION_FILES]


def _keep_only(folder: int, trash: int, account: Account, rules: Rules) -> int:
    """Move all but the names in ``rules`` to ``trash``; return their number."""
    removed = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if entry.name not in rules or not _may_stay(entry.name, status, account, rules[entry.name]):
                _remove(folder, entry.name, trash)
                removed += 1
            elif rules[entry.name]:
                below = os.open(entry.name, _DIRECTORY, dir_fd=folder)
                try:
                    os.fchmod(below, 0o700)
                    removed += _keep_only(below, trash, account, rules[entry.name])
                finally:
                    os.close(below)
    return removed


def _may_stay(name: str, status: os.stat_result, account: Account, rules: Optional[Rules]) -> bool:
    """Return whether an entry has the kind and the owner that its name requires."""
    if rules is not None:
        return stat.S_ISDIR(status.st_mode) and status.st_uid == account.uid
    if name in REGISTRATION_FILES:
        return stat.S_ISREG(status.st_mode) and status.st_nlink == 1
    return status.st_uid == os.geteuid() and not stat.S_ISLNK(status.st_mode)


def _remove(folder: int, name: str, trash: int) -> None:
    """Move an entry to ``trash``, or delete it if that is another file system."""
    if sweep.discard(folder, name, trash):
        return
    try:
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            sweep.remove(folder, name, lambda: False)
        else:
            os.unlink(name, dir_fd=folder)
    except OSError as error:
        raise CiError(
            f"'{name}' of the last job cannot be removed ({error.strerror}), so no job starts here; unmount "
            "or remove it, and the runner starts by itself."
        ) from error


def registered_work_directory(layout: Layout) -> str:
    """Return the work directory of the registration, from root's own copy.

    A job can write another one into its runner's files.
    """
    text = _read(os.path.join(layout.record("registration"), ".runner"))
    with contextlib.suppress(ValueError, AttributeError):
        data = {key.lower(): value for key, value in json.loads((text or b"").decode("utf-8-sig")).items()}
        return str(data.get("workfolder") or _WORK)
    return _WORK


def _make_home(layout: Layout, root: int, account: Account) -> None:
    name = os.path.basename(layout.home)
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=root)
        os.chown(name, account.uid, account.gid, dir_fd=root, follow_symlinks=False)


def _keep_diagnostics(layout: Layout, root: int) -> bool:
    """Move the logs of the last life to root's records; return whether it had a job.

    The runner writes a log for each worker. A job can write there, so only short regular files move.
    """
    try:
        folder = os.open(_DIAGNOSTICS, _DIRECTORY, dir_fd=root)
    except OSError:
        return False
    target = layout.record("diagnostics")
    os.makedirs(target, mode=0o700, exist_ok=True)
    with contextlib.ExitStack() as opened:
        opened.callback(os.close, folder)
        kept_logs = _open(opened, target)
        for old in os.listdir(kept_logs):
            os.unlink(old, dir_fd=kept_logs)
        with os.scandir(folder) as entries:
            names = heapq.nlargest(_MOST_LOGS, (each.name for each in entries if each.name.startswith(_LOGS)))
        room = _MOST_DIAGNOSTICS_BYTES
        for name in names:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) and status.st_size <= room:
                room -= status.st_size
                os.rename(name, name, src_dir_fd=folder, dst_dir_fd=kept_logs)
    return any(name.startswith(_WORKER_LOG) for name in names)


def clear_diagnostics(layout: Layout) -> None:
    """Move what a killed runner left in ``_diag``, and all but its newest logs, to the trash.

    No job may run. A page of a log that is left there ends the next job with "already exists", because the
    worker creates it anew (PagingLogger.cs). The trash is in root's records.
    """
    with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as opened:
        root = _open(opened, layout.root)
        trash = sweep.open_trash(_open(opened, layout.records))
        opened.callback(os.close, trash)
        try:
            folder = os.open(_DIAGNOSTICS, _DIRECTORY, dir_fd=root)
        except OSError:  # a job can put anything there, or it is missing
            return
        opened.callback(os.close, folder)
        with os.scandir(folder) as entries:
            names = heapq.nlargest(_MOST_LOGS, (each.name for each in entries if each.name.startswith(_LOGS)))
        sweep.discard_all(folder, trash, names)


def keep_registration(layout: Layout) -> None:
    """Copy the registration to root's records, before a job can change it."""
    folder = layout.record("registration")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for name in REGISTRATION_FILES:
        content = _read(layout.file(name))
        if content is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))
            continue
        _write(os.path.join(folder, name), content)


def forget_registration(layout: Layout) -> None:
    """Remove root's copy of the registration."""
    folder = layout.record("registration")
    for name in REGISTRATION_FILES:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, name))
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(folder)


def _restore_registration(layout: Layout, root: int, trash: int, account: Account) -> tuple[str, ...]:
    """Restore the registration from root's copy; return the names that differed.

    A changed file could send the next listener to a server of the job's choice.
    """
    folder = layout.record("registration")
    if not os.path.isdir(folder):  # a runner for one job, which gets a new registration
        return ()
    restored = []
    for name in REGISTRATION_FILES:
        wanted, present = _read(os.path.join(folder, name)), _read(layout.file(name))
        if wanted == present:
            continue
        restored.append(name)
        if os.path.lexists(layout.file(name)):
            sweep.discard(root, name, trash)
        if wanted is not None:
            _write(layout.file(name), wanted, account)
    return tuple(restored)


def _read(path: str) -> Optional[bytes]:
    """Return the content of a short regular file; None for anything else."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(opened, "rb") as stream:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_FILE_BYTES:
            return None
        return stream.read()


def _write(path: str, content: bytes, owner: Optional[Account] = None) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(opened, "wb") as stream:
        stream.write(content)
        if owner is not None:
            os.fchown(opened, owner.uid, owner.gid)


def empty_trash(layout: Layout, seconds: float, now: Callable[[], float]) -> sweep.Swept:
    """Delete what fresh starts moved away, for at most ``seconds`` of ``now``."""
    deadline = now() + seconds
    with contextlib.ExitStack() as opened:
        try:
            records = _open(opened, layout.records)
        except FileNotFoundError:
            return sweep.Swept()
        trash = sweep.open_trash(records)
        opened.callback(os.close, trash)
        return sweep.empty(trash, lambda: now() > deadline)


def pause_seconds(jobless: int) -> float:
    """Return how long to wait after ``jobless`` lives in a row that had no job.

    A listener that ends at once, for example without a registration, must not start ten times a second. The
    exit code of run.sh is the same after a job.
    """
    if jobless < 1:
        return 0.0
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** min(jobless - 1, 10), _LONGEST_PAUSE_SECONDS)


def count_jobless(run: Run, layout: Layout, name: str, *, had_job: bool) -> int:
    """Return how many restarts in a row had no job, and remember this life.

    systemd counts from 0 after a start by a person or a converge.
    """
    restarts = restarts_of(systemd.show(run, [instance_unit(name)], "Id,NRestarts")[instance_unit(name)])
    calm = calm_restarts(layout)
    if had_job or restarts < calm:
        calm = restarts
        write_record(layout, LIFE, {"calm_restarts": calm})
    return restarts - calm


def restarts_of(unit: systemd.Unit) -> int:
    """Return how often systemd has restarted ``unit`` by itself."""
    text = unit.get("NRestarts", "")
    return int(text) if text.isdigit() else 0


def calm_restarts(layout: Layout) -> int:
    """Return the count of restarts at the last life that had a job; 0 without one."""
    calm = read_record(layout, LIFE).get("calm_restarts", 0)
    return calm if isinstance(calm, int) else 0
