"""Working in a directory that belongs to somebody with fewer rights."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def rights_of_owner(directory: str) -> Iterator[None]:
    """Let root act as the user and group that ``directory`` belongs to; others stay who they are.

    The owner may have put links there that lead anywhere, and root would follow them.
    """
    try:
        owner = os.stat(directory)
    except OSError:  # whoever opens a file there says why
        owner = None
    if owner is None or os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups([owner.st_gid])
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
