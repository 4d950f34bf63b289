"""Alerts while sampling: once when something begins, once when it is over. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

MB = 1024 * 1024
# Source: ColdVox's own monitor. Comparisons are strict; memory as free -m counts it.
LIMITS = (
    ("load_1m", 8.0, 1, "load over one minute", ""),
    ("memory_used_bytes", 25000 * MB, MB, "memory in use", " MB"),
)
# A load that swings around its limit is one episode: over is what stayed below for a minute of samples.
CALM_SAMPLES = 12


class Message(NamedTuple):
    """One line for the journal; ``begins`` false says that it is over."""

    begins: bool
    text: str


class Episodes:
    """Remembers which limit is passed at the moment."""

    def __init__(self) -> None:
        self._calm: dict[str, int] = {}

    def step(self, sample: Mapping[str, Any]) -> list[Message]:
        """Return what is to be said of ``sample``; what is null neither begins nor ends anything."""
        said = []
        for key, limit, unit, words, suffix in LIMITS:
            value = sample.get(key)
            if value is None:
                continue
            shown, bound = f"{value / unit:g}{suffix}", f"{limit / unit:g}{suffix}"
            if value > limit:
                if key not in self._calm:
                    said.append(Message(True, f"{words} is {shown}, above {bound}"))
                self._calm[key] = 0
            elif key in self._calm:
                self._calm[key] += 1
                if self._calm[key] >= CALM_SAMPLES:
                    del self._calm[key]
                    said.append(Message(False, f"{words} is {shown} again, no longer above {bound}"))
        return said
