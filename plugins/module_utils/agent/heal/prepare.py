"""Make an instance ready for its next listener, as root."""

from __future__ import annotations

import time
from typing import Callable, Optional

from ...errors import CiError
from ...host import systemd
from ...host.process import run
from ...runner.account import Account, Host, account_of
from ...runner.fresh_start import (
    Fresh,
    Settings,
    clear_diagnostics,
    count_jobless,
    empty_trash,
    make_fresh,
    pause_seconds,
    registered_work_directory,
)
from ...runner.instance_records import LIFE, OVERFULL, forget_record, read_record, write_record
from ...runner.job_directories import give_back, not_owned, unusable
from ...runner.layout import Layout, instance_layout, instance_user, watcher_unit

# A large build directory takes longer to delete. The watcher does the rest, so that no job waits for it.
_TRASH_SECONDS = 0.2
_HOST = Host(run, time.sleep, time.monotonic)


def prepare(
    base_dir: str, name: str, settings: Settings, say: Callable[[str], None], host: Host = _HOST
) -> Optional[Fresh]:
    """Remove what the last job left, and wait if the listener ended without one.

    Returns None in the old rhythm, in which a listener has many jobs. Raises CiError if something stays, or
    if jobs cannot use their directories: no listener starts then, so no job is lost. The wait limits how
    often systemd tries again.
    """
    layout, account = instance_layout(base_dir, name), account_of(instance_user(name))
    if not settings.one_job:
        forget_record(layout, LIFE)
        clear_diagnostics(layout)
        _settle(layout, account, name)
        return None
    had_job = False
    try:
        overfull = read_record(layout, OVERFULL)
        if overfull.get("wiped") is False:  # what was kept may be what takes the space
            settings = settings._replace(keep=())
        fresh = make_fresh(layout, account, settings)
        had_job = fresh.had_job
        if empty_trash(layout, _TRASH_SECONDS, time.monotonic).left:
            systemd.begin_start(host.run, watcher_unit(name))
        if overfull.get("wiped") is False:
            write_record(layout, OVERFULL, {**overfull, "wiped": True})
        _settle(layout, account, name)
    finally:
        pause = pause_seconds(count_jobless(host.run, layout, name, had_job=had_job))
        if pause:
            say(f"{name}: the last listener had no job; the next one starts in {pause:.0f} s")
        host.sleep(pause)
    if fresh.restored:
        say(f"{name}: a job had changed {', '.join(fresh.restored)}; root restored the registration")
    return fresh


def _settle(layout: Layout, account: Account, name: str) -> None:
    """Give the directories of jobs back to the account.

    Raises CiError if jobs cannot use them all the same.
    """
    work_dir = registered_work_directory(layout)
    if not_owned(layout, account, work_dir):
        give_back(layout, account, work_dir)
    reason = unusable(layout, account, work_dir)
    if reason:
        raise CiError(f"Runner '{name}' takes no job, because {reason}.")
