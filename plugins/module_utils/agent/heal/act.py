"""The actions of healing. None of them ends a job, and none disturbs a converge."""

from __future__ import annotations

import contextlib
import signal

from ...errors import CiError
from ...host import systemd
from ...host.kernel_locks import describe_holders
from ...host.process import Run
from ...runner.account import Host
from ...runner.drain import claim_lock, drain
from ...runner.layout import Layout, instance_layout, instance_unit, watcher_unit
from ...runner.worker import has_worker, listeners
from .rules import RESTART, THAW, Action

DONE = "done"


def perform(host: Host, base_dir: str, action: Action) -> str:
    """Perform ``action``; return DONE, or why it was left out, or why it failed."""
    layout, unit = instance_layout(base_dir, action.instance), instance_unit(action.instance)
    lock = claim_lock(layout)
    try:
        if not lock.try_acquire():
            return f"left alone, because {describe_holders(lock.path)} works on it"
        try:
            return _perform(host, layout, unit, action.action)
        finally:
            lock.release()
    except (CiError, OSError) as error:
        return f"failed: {error}"


def _perform(host: Host, layout: Layout, unit: str, action: str) -> str:
    if has_worker(layout.root, unit, host.proc):
        return "left alone, because a job has begun"
    if action == THAW:
        for pid in listeners(layout.root, unit, host.proc):
            with contextlib.suppress(ProcessLookupError):
                host.kill(pid, signal.SIGCONT)
        return DONE
    if action == RESTART and not drain(host, unit, layout, timeout_seconds=0).stopped:
        return "left alone, because a job has begun"
    # A person may have drained it since the evidence was gathered.
    if not systemd.show(host.run, [unit])[unit].enabled:
        return "left alone, because it was disabled"
    systemd.start(host.run, unit)
    return DONE


def start_watcher(run: Run, name: str) -> str:
    """Start the watcher unit of the instance ``name``; return an error or ""."""
    try:
        systemd.begin_start(run, watcher_unit(name))
    except CiError as error:
        return str(error)
    return ""
