"""The base class of every error that a user may see."""

from __future__ import annotations

from typing import Any


class CiError(Exception):
    """A failure in one sentence: what, where, why, and what to do.

    ``details`` are machine-readable values that a module returns next to ``msg``. They never hold a secret.
    """

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details
