"""Stop an instance without ending a job; lock an instance against other changes.

A converge, a person and self-healing work on an instance one at a time: each holds its lock.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator, Sequence
from typing import Callable, NamedTuple, Optional

from ..errors import CiError
from ..host import systemd
from ..host.flock import Flock
from ..host.kernel_locks import describe_holders
from .account import Host
from .layout import Layout
from .worker import has_worker, listeners

_POLL_SECONDS = 2.0
# Signals of a terminal, a service manager or a lost connection.
_DEFERRED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP)


class Drained(NamedTuple):
    """The result of drain().

    If not ``stopped``, the instance runs as before. ``waited_seconds`` is how long drain() waited for the
    job.
    """

    stopped: bool
    waited_seconds: float


def drain(
    host: Host,
    unit: str,
    layout: Layout,
    *,
    timeout_seconds: float,
    waiting: Optional[Callable[[float], None]] = None,
) -> Drained:
    """Wait until the instance runs no job, then stop ``unit``, or the listener if that is empty.

    After ``timeout_seconds`` leave it running. Call ``waiting`` before each pause with the seconds waited so
    far. Raises CiError if systemd refuses.

    Between a check and a stop the listener could accept a job, which the stop would cancel. So suspend the
    listener, check again, and send SIGINT before it resumes.
    """
    begin = host.now()
    while True:
        if not has_worker(layout.root, unit, host.proc) and _stop_if_idle(host, unit, layout):
            return Drained(True, host.now() - begin)
        if host.now() - begin >= timeout_seconds:
            return Drained(False, host.now() - begin)
        if waiting:
            waiting(host.now() - begin)
        host.sleep(_POLL_SECONDS)


def _stop_if_idle(host: Host, unit: str, layout: Layout) -> bool:
    """Stop ``unit`` and return True; return False if a job started meanwhile."""
    pids = listeners(layout.root, unit, host.proc)
    with frozen(host, pids):
        if job_came_in(host, unit, layout, pids):
            return False
        # Do not wait for the stop: the suspended listener cannot end. SIGINT waits until it resumes. Then
        # systemd already stops the unit and does not start it again.
        if unit:
            systemd.begin_stop(host.run, unit)
        _signal(host, pids, signal.SIGINT)
    if unit:
        systemd.stop(host.run, unit)
        # A stop while root prepared the next listener counts as a failure of the unit.
        systemd.reset_failed(host.run, unit)
    return True


def job_came_in(host: Host, unit: str, layout: Layout, pids: Sequence[int]) -> bool:
    """Return whether a job runs or starts while the listeners ``pids`` are suspended.

    A worker between fork and exec still looks like a second listener.
    """
    unknown = set(listeners(layout.root, unit, host.proc)) - set(pids)
    return bool(unknown) or has_worker(layout.root, unit, host.proc)


@contextlib.contextmanager
def frozen(host: Host, pids: Sequence[int]) -> Iterator[None]:
    """Suspend the processes ``pids`` during the body.

    Block the signals that would end or stop this process until they resume. Another thread could receive
    these signals, so a caller must have only one thread. SIGKILL cannot be blocked; healing then resumes the
    processes, two checks later.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _DEFERRED)
    try:
        _signal(host, pids, signal.SIGSTOP)
        yield
    finally:
        _signal(host, pids, signal.SIGCONT)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _signal(host: Host, pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            host.kill(pid, number)


# Wait for healing, which holds the lock for a moment. All others hold it for long.
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.1


def claim_lock(layout: Layout) -> Flock:
    """Return the lock of the instance at ``layout``, not taken yet."""
    return Flock(layout.record("lock"), mode=0o600)


def claim(layout: Layout, name: str) -> Flock:
    """Take the lock of the instance ``name``.

    Raises CiError if another process holds it.
    """
    lock = claim_lock(layout)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    # Flock.acquire would leave a thread behind, and frozen() must have only one.
    while not lock.try_acquire():
        if time.monotonic() >= deadline:
            raise CiError(
                f"Runner '{name}' was left as it is, because {describe_holders(lock.path)} works on it; run "
                "again when that has ended."
            )
        time.sleep(_PAUSE_SECONDS)
    return lock
