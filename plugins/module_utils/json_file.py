"""Reading a JSON object that somebody with fewer rights may have written."""

from __future__ import annotations

import json
import os
import stat
from typing import Any, Optional

_MOST_BYTES = 2**20


def load_json(path: str, most_bytes: int = _MOST_BYTES) -> dict[str, Any]:
    """Return the JSON object in the file ``path``; no link and no pipe is opened.

    Raises OSError when it cannot be read, ValueError or RecursionError when it is none, or longer than
    ``most_bytes``.
    """
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(opened, "rb") as stream:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            # A pipe that is held open has neither text nor an end.
            raise ValueError(f"{path} is no regular file")
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
