"""Injected faults: error answers and delays for matching requests."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Optional

from .exchange import Answer, RefusedError, Request

_KEYS = {"path_regex", "method", "status", "times", "delay_seconds", "body", "headers", "text", "cut_bytes"}


@dataclass
class Fault:
    """A fault.

    Without ``status`` it only delays. ``times`` counts down; None means without end. ``text`` replaces the
    JSON body by a page. ``cut_bytes`` ends the connection in the middle of the answer.
    """

    path: re.Pattern[str]
    method: Optional[str] = None
    status: Optional[int] = None
    times: Optional[int] = 1
    delay_seconds: float = 0.0
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    text: Optional[str] = None
    cut_bytes: Optional[int] = None

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Fault:
        """Return the fault in ``data``; raises RefusedError 422 for an invalid one."""
        if unknown := set(data) - _KEYS:
            raise RefusedError(
                422, f"A fault has no {', '.join(sorted(unknown))}; use {', '.join(sorted(_KEYS))}."
            )
        options = {key: value for key, value in data.items() if key != "path_regex"}
        try:
            return cls(re.compile(data["path_regex"]), **options)
        except (KeyError, re.error) as error:
            raise RefusedError(
                422, f"The path_regex of a fault is invalid or missing ({error}); give a regular expression."
            ) from None

    def applies(self, request: Request) -> bool:
        method_fits = self.method is None or self.method.upper() == request.method
        return method_fits and self.times != 0 and self.path.search(request.target) is not None

    def spend(self) -> Optional[Answer]:
        """Use the fault once and return its answer, if it has one."""
        if self.times is not None:
            self.times -= 1
        if self.status is None:
            return None
        default = {"message": f"Fault injected: {self.status}", "status": str(self.status)}
        body = default if self.body is None else self.body
        return Answer(self.status, body, dict(self.headers), self.text, self.cut_bytes)
