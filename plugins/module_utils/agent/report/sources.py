"""Asking a host's sources one after the other, and keeping why one is silent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Callable, Optional, TypeVar

from ...errors import CiError

if TYPE_CHECKING:
    from ..history.jobs import Job

T = TypeVar("T")


class Sources:
    """Reads one part after the other; ``unknown`` says by part why it could not be read."""

    def __init__(self) -> None:
        self.unknown: dict[str, str] = {}

    def read(self, part: str, source: Callable[[], T]) -> Optional[T]:
        """Return what ``source`` gives, None when it is missing, damaged or closed to this user."""
        try:
            return source()
        except (OSError, ValueError, LookupError, TypeError, RecursionError, CiError) as error:
            self.unknown[part] = _reason(error)
            return None


def _reason(error: Exception) -> str:
    """Return why a source is silent, in the words of one who can do something about it."""
    if isinstance(error, FileNotFoundError):
        return f"there is no {error.filename}; the role agent and its services keep it"
    if isinstance(error, PermissionError):
        return f"{error.filename} may not be read by this user; ask again as root"
    if isinstance(error, OSError):
        return f"{error.filename} cannot be read ({error.strerror})"
    if isinstance(error, CiError):
        return str(error).rstrip(".")
    return f"what was noted of it makes no sense ({error})"


def read_text(path: str) -> str:
    """Return the text of the file ``path``, whatever bytes are in it; raises OSError."""
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def read_jobs(path: str, since: float, most: int) -> list[Job]:
    """Return at most ``most`` jobs of the history ``path`` that began at ``since`` (Unix seconds) or later,
    the latest first.
    """
    from ..history.database import History  # SQLite, for who has a history

    os.stat(path)  # to say that there is none yet, or that it is closed to this user
    with History(path, read_only=True) as history:
        return history.jobs(since, limit=most)
