"""Make an instance ready for its next listener, as root."""

from __future__ import annotations

import time
from typing import Callable, Optional

from ...host import systemd
from ...host.process import run
from ...runner.account import Host, account_of
from ...runner.fresh_start import Fresh, Settings, count_jobless, empty_trash, make_fresh, pause_seconds
from ...runner.instance_records import LIFE, OVERFULL, forget_record, read_record, write_record
from ...runner.layout import instance_layout, instance_user, watcher_unit

# A large build directory takes longer to delete. The watcher does the rest, so that no job waits for it.
_TRASH_SECONDS = 0.2
_HOST = Host(run, time.sleep, time.monotonic)


def prepare(
    base_dir: str, name: str, settings: Settings, say: Callable[[str], None], host: Host = _HOST
) -> Optional[Fresh]:
    """Remove what the last job left, and wait if the listener ended without one.

    Returns None in the old rhythm, in which a listener has many jobs. Raises CiError if something stays; the
    wait then limits how often systemd tries again.
    """
    layout = instance_layout(base_dir, name)
    if not settings.one_job:
        forget_record(layout, LIFE)
        return None
    had_job = False
    try:
        overfull = read_record(layout, OVERFULL)
        if overfull.get("wiped") is False:  # what was kept may be what takes the space
            settings = settings._replace(keep=())
        fresh = make_fresh(layout, account_of(instance_user(name)), settings)
        had_job = fresh.had_job
        if empty_trash(layout, _TRASH_SECONDS, time.monotonic).left:
            systemd.begin_start(host.run, watcher_unit(name))
        if overfull.get("wiped") is False:
            write_record(layout, OVERFULL, {**overfull, "wiped": True})
    finally:
        pause = pause_seconds(count_jobless(host.run, layout, name, had_job=had_job))
        if pause:
            say(f"{name}: the last listener had no job; the next one starts in {pause:.0f} s")
        host.sleep(pause)
    if fresh.restored:
        say(f"{name}: a job had changed {', '.join(fresh.restored)}; root restored the registration")
    return fresh
