"""The Rust toolchains in HOME of an instance's next job."""

from __future__ import annotations

import contextlib
import os

from ..host import sweep
from ..rust.homes import NAME, link_home
from .account import Account
from .layout import Layout


def give_toolchains(rustup_home: str, layout: Layout, account: Account) -> None:
    """Put the toolchains of ``rustup_home`` into HOME, in the place of those of the last job.

    The job may change them, because its changes reach neither ``rustup_home`` nor another job. Raises
    OSError.
    """
    if not os.path.isdir(rustup_home):
        return
    # In root's directory, where the account cannot replace a directory by a link.
    new = layout.record(NAME)
    link_home(rustup_home, new, (account.uid, account.gid))
    with contextlib.ExitStack() as opened:
        home = sweep.open_directory(layout.home)
        opened.callback(os.close, home)
        records = sweep.open_directory(layout.records)
        opened.callback(os.close, records)
        trash = sweep.open_trash(records)
        opened.callback(os.close, trash)
        sweep.discard(home, NAME, trash)
        os.rename(NAME, NAME, src_dir_fd=records, dst_dir_fd=home)
