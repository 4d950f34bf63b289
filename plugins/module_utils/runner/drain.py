"""Stopping an instance without ending a job, not even one that comes in at that very moment.

Who works on an instance: a converge, a person or the self-healing, one at a time.
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
# What a terminal, a service manager or a lost connection sends.
_DEFERRED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP)


class Drained(NamedTuple):
    """Whether the instance is stopped, and how long its job was waited for; if not, it runs as before."""

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
    """Wait until no job of the instance runs, then stop ``unit``; after ``timeout_seconds`` leave it running.
    ``waiting`` hears before each pause how many seconds it has taken.

    Between a look and a stop the listener could accept a job, which the stop would cancel. So the listener is
    frozen, looked at again, and told to end before it goes on. Raises CiError when systemd refuses.
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
    """Stop ``unit`` and return True, or return False when a job came in meanwhile."""
    pids = listeners(layout.root, unit, host.proc)
    with frozen(host, pids):
        if job_came_in(host, unit, layout, pids):
            return False
        # Only asked for, because the frozen listener could not follow; its own end waits for it, so that
        # systemd, which already stops the unit, does not start it again.
        systemd.begin_stop(host.run, unit)
        _signal(host, pids, signal.SIGINT)
    systemd.stop(host.run, unit)
    return True


def job_came_in(host: Host, unit: str, layout: Layout, pids: Sequence[int]) -> bool:
    """Return whether a job runs or begins, although the listeners ``pids`` stand still.

    A worker that has been forked and not yet become its program still looks like a second listener.
    """
    unknown = set(listeners(layout.root, unit, host.proc)) - set(pids)
    return bool(unknown) or has_worker(layout.root, unit, host.proc)


@contextlib.contextmanager
def frozen(host: Host, pids: Sequence[int]) -> Iterator[None]:
    """Let the processes ``pids`` stand still meanwhile.

    A signal that ends this process, or stops it, waits until they go on; it must reach no other thread, so
    nothing with threads may use this. SIGKILL does not wait: healing then lets them go on, two checks later.
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


# Healing has an instance for a moment, and is waited for; whoever else has one has it for long.
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.1


def claim_lock(layout: Layout) -> Flock:
    """Return the lock of the instance at ``layout``, not taken yet."""
    return Flock(layout.record("lock"), mode=0o600)


def claim(layout: Layout, name: str) -> Flock:
    """Take the lock of the instance ``name``; raises CiError when somebody else has it."""
    lock = claim_lock(layout)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    # Not Flock.acquire, whose thread would be left behind: what freezes a listener must have none.
    while not lock.try_acquire():
        if time.monotonic() >= deadline:
            raise CiError(
                f"Runner '{name}' was left as it is, because {describe_holders(lock.path)} works on it; run "
                "again when that is done."
            )
        time.sleep(_PAUSE_SECONDS)
    return lock
