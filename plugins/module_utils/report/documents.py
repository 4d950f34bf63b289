"""The notes that the agent's services leave, as facts. Pure; a note that makes no sense is a ValueError."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Optional

from ..health_policy import SIGNALS
from .facts import Health, Reason, Sample

# What a truth that costs points means; others are told by the policy's own word for them.
_TRUTHS = {
    "model_cache_available": "models are missing in the store",
    "network_reachable": "GitHub cannot be reached",
    "clock_synchronized": "the clock is not synchronized",
    "on_battery": "it runs on battery",
}
_CRON_FIELD = re.compile(r"[\d*/,-]+")
# systemd.time(7), as systemctl writes it.
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|min|h|d|w|month|y)")
_SPAN_SECONDS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "month": 2629800.0,
    "y": 31557600.0,
}
_OURS = re.compile(r"\b(coldvox|runnerctl|maintenance\.yml)\b")


def seconds(moment: Any) -> float:
    """Return ``moment``, UTC ISO 8601 with ``Z`` or a number, in seconds since the epoch; ValueError for
    others.
    """
    if isinstance(moment, bool):
        raise ValueError(f"{moment} is no time")
    if isinstance(moment, (int, float)):
        return float(moment)
    # Python before 3.11 does not know the Z.
    return datetime.fromisoformat(str(moment).replace("Z", "+00:00")).timestamp()


def next_run(realtime: str, monotonic: str, booted_at: float) -> Optional[float]:
    """Return when a timer fires next in seconds since the epoch, None when it waits for another event.

    Both are systemctl's words with TZ=UTC: ``realtime`` a moment (``Sun 2026-11-22 02:00:00 UTC``),
    ``monotonic`` the time since ``booted_at``, suspend left out (``1h 2min 3.5s``).
    """
    words = realtime.split()
    if len(words) == 4 and words[3] == "UTC":
        return seconds(f"{words[1]}T{words[2]}Z")
    spans = [_SPAN.fullmatch(word) for word in monotonic.split()]
    known = [float(span[1]) * _SPAN_SECONDS[span[2]] for span in spans if span]
    return booted_at + sum(known) if known and len(known) == len(spans) else None


def health(document: Mapping[str, Any], penalties: Iterable[Mapping[str, Any]]) -> Health:
    """Return health.json as a fact, explained by ``penalties``, those of the last sample."""
    score = document["score"]
    if not isinstance(score, int) or isinstance(score, bool):
        raise ValueError(f"the score {score!r} is no whole number")
    return Health(
        score=score,
        verdict=str(document["verdict"]),
        recommendation=str(document["recommendation"]),
        observed_at=seconds(document["observed_at"]),
        expires_at=seconds(document["expires_at"]),
        reasons=tuple(reason(one) for one in penalties),
    )


def reason(penalty: Mapping[str, Any]) -> Reason:
    """Return a penalty of the health score in words."""
    signal, value, threshold = str(penalty["signal"]), penalty["value"], penalty["threshold"]
    name = SIGNALS[signal][1] if signal in SIGNALS else signal.replace("_", " ")
    points = int(penalty["points"])
    if isinstance(value, bool):
        return Reason(points, _TRUTHS.get(signal, f"{name}: {'yes' if value else 'no'}"))
    return Reason(points, f"{name}: {value:g}, {'above' if value > threshold else 'below'} {threshold:g}")


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


def schedules(crontab: str) -> Iterator[str]:
    """Yield when the lines of a system's ``crontab`` (crontab(5)) run this collection: ``15 3 * * *``."""
    for line in crontab.splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and _CRON_FIELD.fullmatch(fields[0]) and _OURS.search(fields[5]):
            yield " ".join(fields[:5])
