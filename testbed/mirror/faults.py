"""Injected faults: which requests they affect, how often, and how."""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

KINDS = {
    "status": "answer with `status` (503), `headers` and `body`",
    "html": "answer 200 with a page of HTML, as a hotel's network does",
    "redirect": "answer `status` (302) with `location`",
    "stall": "send `after_bytes`, then nothing for `seconds`",
    "reset": "send `after_bytes`, then reset the connection",
    "truncate": "promise everything, send `after_bytes`, then close the connection",
    "slow": "send `bytes_per_second`",
    "lie_about_length": "add `delta_bytes` to Content-Length",
    "ignore_range": "answer a request for a range with the whole file",
    "change_between_ranges": "serve another version of the file to requests for a range",
}
_NEEDS_RANGE = {"ignore_range", "change_between_ranges"}


@dataclasses.dataclass(frozen=True)
class Fault:
    """One fault.

    It ignores the first ``skip`` matching requests, then affects ``times`` of them (None: all).
    """

    path_regex: str
    kind: str
    times: int | None = None
    skip: int = 0
    method: str | None = None
    status: int | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: str = ""
    location: str = "/"
    after_bytes: int = 0
    seconds: float = 3600
    bytes_per_second: int = 65536
    delta_bytes: int = 1

    @classmethod
    def from_json(cls, data: Any) -> Fault:
        """Return the fault that parsed JSON describes; raises ValueError."""
        if not isinstance(data, dict):
            raise ValueError(f"A fault is an object, not {data!r}; give one with path_regex and kind.")
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(data) - known):
            raise ValueError(f"A fault has no {', '.join(unknown)}; use {', '.join(sorted(known))}.")
        if missing := {"path_regex", "kind"} - set(data):
            raise ValueError(f"A fault needs {' and '.join(sorted(missing))}; add it.")
        if data["kind"] not in KINDS:
            raise ValueError(f"There is no fault of kind {data['kind']!r}; use {', '.join(KINDS)}.")
        try:
            re.compile(data["path_regex"])
        except (re.error, TypeError) as error:
            raise ValueError(
                f"The path_regex {data['path_regex']!r} is not a regular expression: {error}; correct it."
            ) from error
        return cls(**data)

    def matches(self, method: str, path: str, *, has_range: bool) -> bool:
        """Return whether the fault is for this request."""
        if self.method and self.method != method:
            return False
        if self.kind in _NEEDS_RANGE and not has_range:
            return False
        return re.search(self.path_regex, path) is not None


class ActiveFaults:
    """The faults in force; several threads count them down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def replace(self, faults: Sequence[Fault]) -> None:
        """Replace all faults by ``faults``."""
        with self._lock:
            self._faults = list(faults)

    def in_force(self) -> list[dict[str, Any]]:
        """Return the faults with their remaining ``skip`` and ``times``."""
        with self._lock:
            return [dataclasses.asdict(fault) for fault in self._faults]

    def take(self, method: str, path: str, *, has_range: bool) -> Fault | None:
        """Return the first fault that affects this request, and count it."""
        with self._lock:
            for index, fault in enumerate(self._faults):
                if not fault.matches(method, path, has_range=has_range) or fault.times == 0:
                    continue
                if fault.skip > 0:
                    self._faults[index] = dataclasses.replace(fault, skip=fault.skip - 1)
                    continue
                if fault.times is not None:
                    self._faults[index] = dataclasses.replace(fault, times=fault.times - 1)
                return fault
        return None
