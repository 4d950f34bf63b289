"""Stopping an instance without ever ending a job: not even one that was accepted a moment ago."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

from .. import systemd
from .layout import Layout
from .worker import LISTENER, find, has_worker, processes

if TYPE_CHECKING:
    from .instance import Host

_POLL_SECONDS = 2.0


class Drained(NamedTuple):
    """``stopped`` is False when a job lasted longer than the patience; then everything runs as before."""

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
    """Wait until the instance has no job, then stop ``unit``. ``waiting`` hears how long it has taken so far.

    Between a look for the worker and the stop, the listener could accept a job. So it is frozen first, and
    the stop goes on only when there is still no worker then. Raises CiError when systemd refuses.
    """
    begun = host.now()
    while True:
        waited = host.now() - begun
        if not has_worker(layout.root, unit, host.proc) and _stop_frozen(host, unit, layout):
            return Drained(True, waited)
        if waited >= timeout_seconds:
            return Drained(False, waited)
        if waiting:
            waiting(waited)
        host.sleep(min(_POLL_SECONDS, timeout_seconds - waited))


def _stop_frozen(host: Host, unit: str, layout: Layout) -> bool:
    """Stop ``unit`` while its listener can accept nothing; return False when it has a job after all."""
    with frozen(listeners(layout, unit, host.proc)) as held:
        if has_worker(layout.root, unit, host.proc):
            return False
        systemd.stop(host.run, unit, wait=False)
        # Waits for the listener until it runs again; then it is the first that it hears.
        for process in held:
            _signal(process, signal.SIGINT)
    systemd.stop(host.run, unit)
    return True


def listeners(layout: Layout, unit: str, proc: str = "/proc") -> list[int]:
    """Return the process ids of the instance's listener; there is more than one only by mistake."""
    return find(layout.root, unit, LISTENER, processes(proc))


@contextlib.contextmanager
def frozen(pids: Sequence[int]) -> Iterator[list[int]]:
    """Stop the processes ``pids`` for a moment; yields descriptors of them that no later process can get."""
    held: list[int] = []
    try:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                held.append(os.pidfd_open(pid))
        for process in held:
            _signal(process, signal.SIGSTOP)
        yield held
    finally:
        for process in held:
            _signal(process, signal.SIGCONT)
            os.close(process)


def thaw(pids: Sequence[int]) -> None:
    """Let processes run on that somebody froze and left so."""
    with frozen(pids):
        return


def _signal(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, number)
