"""Make an instance ready for its next listener, as root."""

from __future__ import annotations

import time
from typing import Callable, Optional

from ...host import systemd
from ...host.process import run
from ...runner.account import Account, Host, account_of
from ...runner.fresh_start import Fresh, Settings, count_jobless, empty_trash, make_fresh, pause_seconds
from ...runner.instance_records import LIFE, forget_record
from ...runner.layout import Layout, instance_layout, instance_user, watcher_unit
from ...runner.toolchains import give_toolchains

# A large build directory takes longer to delete. The watcher does the rest, so that no job waits for it.
_TRASH_SECONDS = 0.2
_HOST = Host(run, time.sleep, time.monotonic)


def prepare(
    base_dir: str,
    name: str,
    settings: Settings,
    say: Callable[[str], None],
    host: Host = _HOST,
    rustup_home: str = "",
) -> Optional[Fresh]:
    """Remove what the last job left, and wait if the listener ended without one.

    Gives the next job the toolchains of ``rustup_home``. Returns None in the old rhythm, in which a listener
    has many jobs. Raises CiError if something stays; the wait then limits how often systemd tries again.
    """
    layout, account = instance_layout(base_dir, name), account_of(instance_user(name))
    if not settings.one_job:
        _give_toolchains(rustup_home, layout, account, say)
        empty_trash(layout, _TRASH_SECONDS, time.monotonic)
        forget_record(layout, LIFE)
        return None
    had_job = False
    try:
        fresh = make_fresh(layout, account, settings)
        had_job = fresh.had_job
        _give_toolchains(rustup_home, layout, account, say)
        if empty_trash(layout, _TRASH_SECONDS, time.monotonic).left:
            systemd.begin_start(host.run, watcher_unit(name))
    finally:
        pause = pause_seconds(count_jobless(host.run, layout, name, had_job=had_job))
        if pause:
            say(f"{name}: the last listener had no job; the next one starts in {pause:.0f} s")
        host.sleep(pause)
    if fresh.restored:
        say(f"{name}: a job had changed {', '.join(fresh.restored)}; root restored the registration")
    return fresh


def _give_toolchains(rustup_home: str, layout: Layout, account: Account, say: Callable[[str], None]) -> None:
    """Put the shared toolchains into HOME; without them, a job uses ``rustup_home`` itself."""
    try:
        give_toolchains(rustup_home, layout, account)
    except OSError as error:
        say(
            f"Jobs cannot add to the Rust toolchains, because those in {rustup_home} cannot be linked into "
            f"{layout.home} ({error.strerror}); keep coldvox_state_dir and coldvox_runner_base_dir on one "
            "file system."
        )
