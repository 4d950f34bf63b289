"""Reading a file in a place where somebody with fewer rights may write: no link and no pipe is opened."""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import Any, Optional

_MOST_BYTES = 2**20


def open_regular(path: str, flags: int) -> int:
    """Open the regular file ``path`` itself, as an opener for ``open``; raises OSError for anything else."""
    # A planted pipe would block the open, or have no end.
    opened = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return opened


def load_json(path: str, most_bytes: int = _MOST_BYTES) -> dict[str, Any]:
    """Return the JSON object in the file ``path``.

    Raises OSError when it cannot be read, ValueError or RecursionError when it is none, or longer than
    ``most_bytes``.
    """
    with open(path, "rb", opener=open_regular) as stream:
        data = json.loads(stream.read(most_bytes))
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds no JSON object")
    return data


def read_json(path: str, most_bytes: int = _MOST_BYTES) -> Optional[dict[str, Any]]:
    """Return what ``load_json`` does, None where it raises."""
    try:
        return load_json(path, most_bytes)
    except (OSError, ValueError, RecursionError):
        return None
