"""Watch a job as root.

The machine stays awake while the job runs. Then this removes what only root can remove, and leaves the job's
result for the history.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple, Optional

from ...host import sweep
from ...host.directories import read_json
from ...host.durable import replace_file
from ...host.process import run
from ...runner.account import Host, account_of
from ...runner.drain import frozen, job_came_in
from ...runner.fresh_start import clear_diagnostics, empty_trash
from ...runner.layout import Layout, instance_layout, instance_unit, instance_user
from ...runner.worker import listeners, workers
from ..hooks import spool
from .disk import bound_for
from .endings import hand_on, known_listeners

Say = Callable[[str], None]

_HOST = Host(run, time.sleep, time.monotonic)
_SWEEP_SECONDS = 600.0
# The listener is frozen for this time at most; its poll at GitHub lasts 50 s.
_FROZEN_SECONDS = 20.0
_REFUSAL_SECONDS = 0.5
# With a queue of jobs, the next listener has its job within this time.
_LINGER_SECONDS = 5.0
_LINGER_PAUSE_SECONDS = 0.5
# A process that a job left could otherwise start this unit as often as it writes a record.
_SHORT_LINGER_SECONDS = 1.0
_NO_INHIBITOR = "no-sleep-inhibitor"
_MOST_LETTERS = 80
# To ask for the free space takes microseconds; to measure a job's files takes longer and happens less often.
_CHECK_SECONDS = 1.0
_SLICE_SECONDS = 0.5


class Cleaned(NamedTuple):
    """The removed files: ``foreign`` counts those of other users, ``swept`` all."""

    foreign: int = 0
    swept: sweep.Swept = sweep.Swept()


def watch(
    base_dir: str, run_dir: str, name: str, say: Say, host: Host = _HOST, *, one_job: bool = False
) -> Optional[Cleaned]:
    """Watch the jobs of the instance ``name`` until it is idle; clean up after each.

    With ``one_job`` the next start of the listener cleans up (prepare.py), and this only deletes what that
    moved away. Returns None if each cleanup was prevented by the next job, or without a work directory.
    Raises CiError for an instance without an account.
    """
    layout, unit = instance_layout(base_dir, name), instance_unit(name)
    account = account_of(instance_user(name))
    done: Optional[Cleaned] = None
    while True:
        since: Optional[float] = None
        pids = known_listeners(host, layout, unit, say)
        bound = bound_for(host, layout, name, say) if one_job else None
        for pid in workers(layout.root, unit, host.proc):
            with contextlib.suppress(ProcessLookupError), _held(pid) as worker:
                since = since or time.time()
                why = f"{_job_name(run_dir, name)} on {name}"
                with _awake(why, run_dir, say):
                    while not _has_ended(worker, _CHECK_SECONDS if one_job else None):
                        # Of the job before, whose files still take the space.
                        empty_trash(layout, _SLICE_SECONDS, time.monotonic)
                        reason = bound.reason_to_end(pid) if bound else ""
                        if bound and reason:
                            bound.end_job(reason)
                            bound = None
        spool.prune(run_dir, name)
        if one_job:
            cleaned: Optional[Cleaned] = Cleaned(swept=empty_trash(layout, _SWEEP_SECONDS, time.monotonic))
        else:
            cleaned = clean(layout, unit, account.uid, host)
            empty_trash(layout, _SWEEP_SECONDS, time.monotonic)
        done = _together(done, cleaned)
        hand_on(host, run_dir, name, pids, since, say)
        # A job that starts before this unit has ended does not trigger the path unit again.
        if not _comes_next(layout, unit, host, _LINGER_SECONDS if one_job else _SHORT_LINGER_SECONDS):
            return done


def _comes_next(layout: Layout, unit: str, host: Host, seconds: float) -> bool:
    """Return whether a job runs, or starts within ``seconds``."""
    deadline = host.now() + seconds
    while not workers(layout.root, unit, host.proc):
        if host.now() >= deadline:
            return False
        host.sleep(_LINGER_PAUSE_SECONDS)
    return True


def _together(before: Optional[Cleaned], now: Optional[Cleaned]) -> Optional[Cleaned]:
    if before is None or now is None:
        return before or now
    removed, freed = (
        before.swept.removed + now.swept.removed,
        before.swept.freed_bytes + now.swept.freed_bytes,
    )
    # The second cleanup counts again what the first left.
    return Cleaned(before.foreign + now.foreign, sweep.Swept(removed, freed, now.swept.left))


def clean(layout: Layout, unit: str, owner: int, host: Host = _HOST) -> Optional[Cleaned]:
    """Remove files of other users than ``owner`` from the instance's work directory.

    Also empties its trash, and clears the runner's diagnostics. No file of a running job is removed: the
    listener is frozen while files are moved into the trash, and no job uses files in the trash. Returns None
    without an own work directory, or if a job runs.
    """
    with contextlib.ExitStack() as opened:
        try:
            work = sweep.open_directory(work_directory(layout))
        except (OSError, ValueError):  # a name that cannot be encoded
            return None
        opened.callback(os.close, work)
        if os.fstat(work).st_uid != owner:
            return None  # a job can name any directory in .runner
        pids = listeners(layout.root, unit, host.proc)
        with frozen(host, pids):
            if job_came_in(host, unit, layout, pids):
                return None
            trash = sweep.open_trash(work, owner)
            opened.callback(os.close, trash)
            foreign = sweep.discard_foreign(work, trash, owner, _within(_FROZEN_SECONDS))
            clear_diagnostics(layout)
        return Cleaned(foreign, sweep.empty(trash, _within(_SWEEP_SECONDS)))


def work_directory(layout: Layout) -> str:
    """Return the work directory in the instance's ``.runner``, which a job can write."""
    for name in (".runner_migrated", ".runner"):
        data = read_json(layout.file(name)) or {}
        folder = {key.lower(): value for key, value in data.items()}.get("workfolder")
        if isinstance(folder, str) and folder and "\0" not in folder:
            return layout.file(folder)
    return layout.file("_work")


def _within(seconds: float) -> Callable[[], bool]:
    deadline = time.monotonic() + seconds
    return lambda: time.monotonic() > deadline


def _job_name(run_dir: str, name: str) -> str:
    """Return the name of the running job for a person, from the record of its hook."""
    job: Any = (spool.latest(run_dir, name, "started") or {}).get("job")
    if not isinstance(job, str) or not job:
        return "a job"
    return "job " + "".join(letter for letter in job if letter.isprintable())[:_MOST_LETTERS]


@contextlib.contextmanager
def _held(pid: int) -> Iterator[int]:
    """Yield a descriptor of the process ``pid``, safe against reuse of the pid."""
    held = os.pidfd_open(pid)
    try:
        yield held
    finally:
        os.close(held)


def _has_ended(process: int, seconds: Optional[float]) -> bool:
    """Wait for the end of ``process``, at most ``seconds``; return whether it ended."""
    end = select.poll()
    end.register(process, select.POLLIN)
    return bool(end.poll(None if seconds is None else seconds * 1000))


@contextlib.contextmanager
def _awake(why: str, run_dir: str, say: Say) -> Iterator[None]:
    """Keep the machine awake through logind, if it runs.

    The inhibitor ends with its command, and cat ends with its input: at the latest with this process.
    """
    argv = ["systemd-inhibit", "--what=sleep:idle", "--who=coldvox-ci", f"--why={why}", "--mode=block", "cat"]
    with contextlib.ExitStack() as running:
        try:
            inhibitor = running.enter_context(
                # A module's run_command waits for the end; this one lasts as long as the job.
                subprocess.Popen(  # pylint: disable=ansible-bad-function
                    argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
                )
            )
        except OSError as error:
            _say_once(run_dir, say, f"{argv[0]}: {error.strerror}")
            yield
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            inhibitor.wait(_REFUSAL_SECONDS)
        yield
        _output, complaint = inhibitor.communicate()
        if inhibitor.returncode:
            _say_once(run_dir, say, " ".join(complaint.decode(errors="replace").split())[:300])


def _say_once(run_dir: str, say: Say, reason: str) -> None:
    """Say once per boot that jobs do not keep this machine awake."""
    path = os.path.join(run_dir, _NO_INHIBITOR)
    if not os.path.exists(path):
        say(
            f"Jobs do not keep this machine awake, because logind does not answer ({reason}); start "
            "systemd-logind."
        )
        replace_file(path, f"{reason}\n", durable=False)
