"""Faults that the mirror shows on demand: which requests they hit, how often, and what they do."""

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
    """One fault. It passes over the first ``skip`` requests that match, then hits ``times`` (None: all)."""

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
        """Return the fault that parsed JSON describes; raises ValueError with a sentence when it does not."""
        if not isinstance(data, dict):
            raise ValueError(f"a fault is an object, not {data!r}")
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(data) - known):
            raise ValueError(f"a fault has no {', '.join(unknown)}; it may have {', '.join(sorted(known))}")
        if missing := {"path_regex", "kind"} - set(data):
            raise ValueError(f"a fault needs {' and '.join(sorted(missing))}")
        if data["kind"] not in KINDS:
            raise ValueError(f"there is no fault of kind {data['kind']!r}; there are {', '.join(KINDS)}")
        try:
            re.compile(data["path_regex"])
        except (re.error, TypeError) as error:
            raise ValueError(
                f"path_regex {data['path_regex']!r} is not a regular expression: {error}"
            ) from error
        return cls(**data)

    def matches(self, method: str, path: str, *, has_range: bool) -> bool:
        """Tell whether a request is one that this fault is about."""
        if self.method and self.method != method:
            return False
        if self.kind in _NEEDS_RANGE and not has_range:
            return False
        return re.search(self.path_regex, path) is not None


class FaultBook:
    """The faults in force, counted down by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def replace(self, faults: Sequence[Fault]) -> None:
        """Put ``faults`` in force instead of all others."""
        with self._lock:
            self._faults = list(faults)

    def in_force(self) -> list[dict[str, Any]]:
        """Return the faults with what is left of ``skip`` and ``times``."""
        with self._lock:
            return [dataclasses.asdict(fault) for fault in self._faults]

    def take(self, method: str, path: str, *, has_range: bool) -> Fault | None:
        """Return the first fault that hits this request, and count it."""
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
