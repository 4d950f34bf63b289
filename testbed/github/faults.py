"""Faults on order: an answer that GitHub might give on a bad day, so many times, for matching requests."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Optional

from .exchange import Answer, RefusedError, Request

_KEYS = {"path_regex", "method", "status", "times", "delay_seconds", "body", "headers", "text", "cut_bytes"}


@dataclass
class Fault:
    """``status`` None only delays. ``times`` counts down; None is for ever. ``text`` is a page instead of
    JSON; ``cut_bytes`` ends the connection in the middle of the answer.
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
        """Return the fault in ``data``; raises RefusedError 422 for one that could never happen."""
        if unknown := set(data) - _KEYS:
            raise RefusedError(422, f"unknown keys in a fault: {', '.join(sorted(unknown))}")
        options = {key: value for key, value in data.items() if key != "path_regex"}
        try:
            return cls(re.compile(data["path_regex"]), **options)
        except (KeyError, re.error) as error:
            raise RefusedError(422, f"a fault needs a valid path_regex: {error}") from None

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
