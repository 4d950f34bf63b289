"""The notes that the agent's services leave, as facts. Pure; a note that makes no sense is a ValueError."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from .facts import Health, Reason, Sample

# What people call the signals of the health policy; others are told by their own names.
_SIGNALS = {
    "load_1m": "load",
    "memory_used_percent": "memory used in %",
    "disk_used_percent": "disk used in %",
    "active_jobs": "jobs at once",
}
_TRUTHS = {
    "model_cache_available": "models are missing in the store",
    "network_reachable": "GitHub cannot be reached",
}


def seconds(moment: Any) -> float:
    """Return ``moment``, UTC ISO 8601 with ``Z`` or a number, in seconds since the epoch; ValueError for
    others.
    """
    if isinstance(moment, bool):
        raise ValueError(f"{moment} is no time")
    if isinstance(moment, (int, float)):
        return float(moment)
    whole, _dot, _fraction = str(moment).rstrip("Z").partition(".")
    return float(calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")))


def health(document: Mapping[str, Any], penalties: Iterable[Mapping[str, Any]]) -> Health:
    """Return health.json as a fact; ``penalties`` explain its score where it does not do so itself."""
    score = document["score"]
    if not isinstance(score, int) or isinstance(score, bool):
        raise ValueError(f"the score {score!r} is no whole number")
    return Health(
        score=score,
        verdict=str(document["verdict"]),
        recommendation=str(document["recommendation"]),
        observed_at=seconds(document["observed_at"]),
        expires_at=seconds(document["expires_at"]),
        reasons=tuple(reason(one) for one in document.get("penalties", penalties)),
    )


def reason(penalty: Mapping[str, Any]) -> Reason:
    """Return a penalty of the health score in words."""
    signal, value, threshold = str(penalty["signal"]), penalty["value"], penalty["threshold"]
    points = int(penalty["points"])
    if isinstance(value, bool):
        return Reason(points, _TRUTHS.get(signal, f"{_plain(signal)} is {str(value).lower()}"))
    return Reason(points, f"{_SIGNALS.get(signal, _plain(signal))}: {value:g} is above {threshold:g}")


def _plain(signal: str) -> str:
    return signal.replace("_", " ")


def sample(document: Mapping[str, Any]) -> Sample:
    """Return a sample of runner_metrics as a fact."""
    models = document.get("model_cache_available")
    return Sample(
        at=seconds(document["timestamp"]),
        load=_number(document.get("load_1m")),
        memory_percent=_number(document.get("memory_used_percent")),
        models_available=models if isinstance(models, bool) else None,
    )


def _number(value: Any) -> Optional[float]:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
