"""Sources of a host, and the reason why a source cannot be read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Callable, Optional, TypeVar

from ...errors import CiError

if TYPE_CHECKING:
    from ..history.jobs import Job

T = TypeVar("T")


class Sources:
    """Reader of sources; ``unknown`` gives, by part, why it could not be read."""

    def __init__(self) -> None:
        self.unknown: dict[str, str] = {}

    def read(self, part: str, source: Callable[[], T]) -> Optional[T]:
        """Return the value of ``source``; None if it is missing, damaged or not readable."""
        try:
            return source()
        except (OSError, ValueError, LookupError, TypeError, RecursionError, CiError) as error:
            self.unknown[part] = _reason(error)
            return None


def _reason(error: Exception) -> str:
    """Return why a source gives nothing, and what a person can do."""
    if isinstance(error, FileNotFoundError):
        return f"there is no {error.filename}; the role agent and its services create it"
    if isinstance(error, PermissionError):
        return f"{error.filename} may not be read by this user; ask again as root"
    if isinstance(error, OSError):
        return f"{error.filename} cannot be read ({error.strerror})"
    if isinstance(error, CiError):
        return str(error).rstrip(".")
    return f"its document has an unexpected form ({error})"


def read_text(path: str) -> str:
    """Return the text of the file ``path``, bad bytes replaced; raises OSError."""
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def read_jobs(path: str, since: float, most: int) -> list[Job]:
    """Return at most ``most`` jobs of the history ``path``, the latest first.

    Only jobs that began at ``since`` (Unix seconds) or later. The first job makes the file. Raises OSError if
    its directory is missing, or if this user may not read it.
    """
    from ..history.database import History  # imports SQLite, which not every caller needs

    if not os.path.exists(path) and os.listdir(os.path.dirname(path)) == []:
        return []
    os.stat(path)
    with History(path, read_only=True) as history:
        return history.jobs(since, limit=most)
