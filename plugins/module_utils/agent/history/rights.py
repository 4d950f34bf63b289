"""Working in a directory that belongs to somebody with fewer rights."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from .schema import HistoryError


@contextlib.contextmanager
def rights_of_owner(directory: str) -> Iterator[None]:
    """Let root act as the user and group that ``directory`` belongs to; others stay who they are.

    The owner may have put links there that lead anywhere, and root would follow them. Raises HistoryError for
    a root that may not do that.
    """
    try:
        owner = os.stat(directory)
    except OSError:  # whoever opens a file there says why
        owner = None
    if owner is None or os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    with contextlib.ExitStack() as undone:
        try:
            os.setgroups([owner.st_gid])
            undone.callback(os.setgroups, groups)
            os.setegid(owner.st_gid)
            undone.callback(os.setegid, group)
            os.seteuid(owner.st_uid)
            undone.callback(os.seteuid, 0)
        except OSError as error:
            raise HistoryError(
                f"The job history in {directory} cannot be used, because root may not act as its owner here "
                f"({error.strerror}); run with CAP_SETUID and CAP_SETGID, or as that user."
            ) from error
        yield
