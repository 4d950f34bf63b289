"""Staying by a job as root: the machine does not fall asleep meanwhile, what only root can remove goes
afterwards, and the history learns how it ended.
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
from ...host.paths import Paths
from ...host.process import run
from ...runner.account import Host, account_of
from ...runner.drain import frozen, job_came_in
from ...runner.layout import Layout, instance_layout, instance_unit, instance_user
from ...runner.worker import listeners, workers
from ..hooks import spool
from ..hooks.spool import prune_locks
from .endings import hand_on, known_listeners

Say = Callable[[str], None]

_HOST = Host(run, time.sleep, time.monotonic)
_SWEEP_SECONDS = 600.0
# The listener is frozen meanwhile; its poll at GitHub lasts 50 s.
_FROZEN_SECONDS = 20.0
_REFUSAL_SECONDS = 0.5
_NO_INHIBITOR = "no-sleep-inhibitor"
_MOST_LETTERS = 80


class Cleaned(NamedTuple):
    """``foreign`` counts what did not belong to the instance's account; ``swept`` is what went in all."""

    foreign: int = 0
    swept: sweep.Swept = sweep.Swept()


def watch(base_dir: str, run_dir: str, name: str, say: Say, host: Host = _HOST) -> Optional[Cleaned]:
    """Stay by the jobs of the instance ``name`` as long as it has one, and clean up after each.

    Returns None when another job always began too early for that, or when there is no work directory. Raises
    CiError for an instance without an account.
    """
    layout, unit = instance_layout(base_dir, name), instance_unit(name)
    account = account_of(instance_user(name))
    done: Optional[Cleaned] = None
    while True:
        since: Optional[float] = None
        pids = known_listeners(host, layout, unit, say)
        for pid in workers(layout.root, unit, host.proc):
            with contextlib.suppress(ProcessLookupError), _held(pid) as worker:
                since = since or time.time()
                why = f"{_job_name(run_dir, name)} on {name}"
                with _awake(why, run_dir, say):
                    _wait(worker)
        spool.prune(run_dir, name)
        prune_locks(Paths(run=run_dir).locks, account.uid)
        done = _together(done, clean(layout, unit, account.uid, host))
        hand_on(host, run_dir, name, pids, since, say)
        # What the next one's hook wrote while this one was cleaned up after starts nobody.
        if not workers(layout.root, unit, host.proc):
            return done


def _together(before: Optional[Cleaned], now: Optional[Cleaned]) -> Optional[Cleaned]:
    if before is None or now is None:
        return before or now
    removed, freed = (
        before.swept.removed + now.swept.removed,
        before.swept.freed_bytes + now.swept.freed_bytes,
    )
    # What was left before was met again.
    return Cleaned(before.foreign + now.foreign, sweep.Swept(removed, freed, now.swept.left))


def clean(layout: Layout, unit: str, owner: int, host: Host = _HOST) -> Optional[Cleaned]:
    """Remove from the instance's work directory what does not belong to the user id ``owner``, and its trash.

    Nothing is removed while a job runs: the listener is frozen for the time in which things are moved into
    the trash, and what is in there is no job's any more. Returns None when there was nothing to look at.
    """
    with contextlib.ExitStack() as opened:
        try:
            work = sweep.open_directory(work_directory(layout))
        except (OSError, ValueError):  # a name that cannot be encoded
            return None
        opened.callback(os.close, work)
        if os.fstat(work).st_uid != owner:
            return None  # a job can say in .runner that anything is its work directory
        pids = listeners(layout.root, unit, host.proc)
        with frozen(host, pids):
            if job_came_in(host, unit, layout, pids):
                return None
            trash = sweep.open_trash(work, owner)
            opened.callback(os.close, trash)
            foreign = sweep.discard_foreign(work, trash, owner, _within(_FROZEN_SECONDS))
        return Cleaned(foreign, sweep.empty(trash, _within(_SWEEP_SECONDS)))


def work_directory(layout: Layout) -> str:
    """Return where the instance's ``.runner`` says that its jobs work. A job can write that file."""
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
    """Return the name of the running job for a person, as far as the hooks have told it."""
    told: Any = (spool.latest(run_dir, name, "started") or {}).get("job")
    if not isinstance(told, str) or not told:
        return "a job"
    return "job " + "".join(letter for letter in told if letter.isprintable())[:_MOST_LETTERS]


@contextlib.contextmanager
def _held(pid: int) -> Iterator[int]:
    """Yield a descriptor of the process ``pid``, which no later process can get."""
    held = os.pidfd_open(pid)
    try:
        yield held
    finally:
        os.close(held)


def _wait(process: int) -> None:
    end = select.poll()
    end.register(process, select.POLLIN)
    end.poll()


@contextlib.contextmanager
def _awake(why: str, run_dir: str, say: Say) -> Iterator[None]:
    """Keep the machine from falling asleep, as far as logind is there; the kernel ends it with this process.

    The inhibitor lasts as long as its command, and that one as long as its input.
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
            _tell_once(run_dir, say, f"{argv[0]}: {error.strerror}")
            yield
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            inhibitor.wait(_REFUSAL_SECONDS)
        yield
        _told, complaint = inhibitor.communicate()
        if inhibitor.returncode:
            _tell_once(run_dir, say, " ".join(complaint.decode(errors="replace").split())[:300])


def _tell_once(run_dir: str, say: Say, reason: str) -> None:
    """Tell once in the life of this boot that jobs do not keep this machine awake."""
    path = os.path.join(run_dir, _NO_INHIBITOR)
    if not os.path.exists(path):
        say(f"jobs do not keep this machine awake, because logind cannot be asked ({reason}).")
        replace_file(path, f"{reason}\n", durable=False)
