"""Decide where the next job runs, from a sample, the history and the hour.

The policies are data, and the functions are pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ..errors import CiError

SELF_HOSTED, CLOUD = "self_hosted", "cloud"
#: The kinds of runner that can run a job.
KINDS = (SELF_HOSTED, CLOUD)
THROTTLE, READY, BUSY = "throttle", "ready", "busy"
MOST_CONCURRENT = 3
_THROTTLE_LOAD = 8.0
_WORST, _BEST = -100, 100

# Source: ColdVox's own load distribution. All comparisons are strict. Positive points are for
# the host.
DEFAULT_POLICY: Mapping[str, Any] = {
    # Used for a kind of runner that has no history.
    "defaults": {
        "self_hosted": {"success_rate": 100, "avg_duration": 300},
        "cloud": {"success_rate": 95, "avg_duration": 480},
    },
    # Points for a whole difference of 100 %.
    "weights": {"success_rate": 40, "avg_duration": 30},
    "signals": {
        "load_1m": [{"below": 2.0, "points": 20}, {"above": 6.0, "points": -20}],
        "memory_used_percent": [{"below": 50.0, "points": 10}, {"above": 80.0, "points": -10}],
        "active_jobs": [{"above": 2, "points": -15}],
    },
    # Local hours, both included.
    "peak_hours": {"first": 9, "last": 17, "points": -10},
    # The first entry that the score is above applies; the last applies to the rest.
    "recommendations": [
        {"above": 25, "recommendation": "use-self-hosted", "confidence": "HIGH"},
        {"above": 0, "recommendation": "use-self-hosted-with-monitoring", "confidence": "MEDIUM"},
        {"above": -25, "recommendation": "use-cloud-fallback", "confidence": "MEDIUM"},
        {"recommendation": "force-cloud-fallback", "confidence": "HIGH"},
    ],
}


class JobSums(NamedTuple):
    """Sums over the runs of one job name on one kind of runner.

    ``total_duration`` is the sum in seconds over the ``timed_runs``, whose duration is known.
    """

    job: str
    kind: str
    total_runs: int
    successful_runs: int
    total_duration: float
    timed_runs: int
    last_updated: Optional[float] = None

    @property
    def success_rate(self) -> float:
        """Return the percent of the runs that succeeded; 0 without runs."""
        return 100 * self.successful_runs / self.total_runs if self.total_runs else 0.0

    @property
    def avg_duration(self) -> float:
        """Return the mean seconds of a run whose duration is known; 0 without any."""
        return self.total_duration / self.timed_runs if self.timed_runs else 0.0


def queue_advice(metrics: Mapping[str, Any], max_concurrent: int = MOST_CONCURRENT) -> str:
    """Return ``throttle``, ``ready`` or ``busy`` for one more job on the host.

    ``metrics`` is the host's sample; a load or a number of jobs that is null counts as 0. Raises CiError for
    a value that is not a number.
    """
    load, active = (_number(name, metrics.get(name)) or 0 for name in ("load_1m", "active_jobs"))
    if load > _THROTTLE_LOAD and active > 1:
        return THROTTLE
    return READY if active < max_concurrent else BUSY


def dispatch_decision(
    metrics: Mapping[str, Any],
    history: Optional[Mapping[str, Any]] = None,
    hour: Optional[int] = None,
    policy: Optional[Mapping[str, Any]] = None,
) -> dict[str, Any]:
    """Return where a job should run.

    The result has ``recommendation``, ``confidence``, ``score`` (-100 to 100) and ``factors``, each with
    ``factor``, ``value`` and ``points``. A factor that is null gives no points.

    ``history`` has, for ``self_hosted`` and for ``cloud``, the job's ``success_rate`` (percent) and
    ``avg_duration`` (seconds); the policy's defaults replace missing values. ``hour`` is the local hour of
    the day. ``policy`` replaces parts of DEFAULT_POLICY: single entries of its dictionaries, the whole of
    ``recommendations``. Raises CiError for an invalid policy or value.
    """
    effective = merged_policy(policy or {})
    own, cloud = (_known(history or {}, kind, effective["defaults"]) for kind in ("self_hosted", "cloud"))
    weights = effective["weights"]
    factors = [
        _factor(
            "success_rate",
            {"self_hosted": own["success_rate"], "cloud": cloud["success_rate"]},
            _toward_zero((own["success_rate"] - cloud["success_rate"]) * weights["success_rate"], 100),
        ),
        _factor(
            "avg_duration",
            {"self_hosted": own["avg_duration"], "cloud": cloud["avg_duration"]},
            _faster(own["avg_duration"], cloud["avg_duration"], weights["avg_duration"]),
        ),
        *(_signal(name, metrics.get(name), steps) for name, steps in effective["signals"].items()),
        _factor("hour", hour, _peak(hour, effective["peak_hours"])),
    ]
    score = max(_WORST, min(_BEST, sum(factor["points"] for factor in factors)))
    judged = next(step for step in effective["recommendations"] if score > step.get("above", -math.inf))
    return {
        "recommendation": judged["recommendation"],
        "confidence": judged["confidence"],
        "score": score,
        "factors": factors,
    }


def _factor(name: str, value: Any, points: int) -> dict[str, Any]:
    return {"factor": name, "value": value, "points": points}


def _known(history: Mapping[str, Any], kind: str, defaults: Mapping[str, Any]) -> dict[str, float]:
    """Return rate and duration of one kind of runner.

    ``defaults`` replace missing values.
    """
    given = history.get(kind) or {}
    if not isinstance(given, Mapping):
        raise CiError(
            f"The history of '{kind}' is {given!r}; give a dictionary with success_rate and avg_duration."
        )
    known: dict[str, float] = {}
    for name in ("success_rate", "avg_duration"):
        value = _number(f"{kind}.{name}", given.get(name))
        value = defaults[kind][name] if value is None else value
        if value < 0 or (name == "success_rate" and value > 100):
            limit = "from 0 to 100" if name == "success_rate" else "of 0 or more"
            raise CiError(f"The history's {kind}.{name} is {value}; give a number {limit}.")
        known[name] = value
    return known


def _faster(own: float, cloud: float, weight: float) -> int:
    """Return the points for the duration.

    ``weight`` times the share of the slower time that is saved.
    """
    return _toward_zero((cloud - own) * weight, max(own, cloud))


def _toward_zero(dividend: float, divisor: float) -> int:
    """Return the quotient without its fraction, as shells divide.

    0 when ``divisor`` is 0.
    """
    if not divisor:
        return 0
    quotient = int(abs(dividend) // abs(divisor))
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


def _signal(name: str, value: Any, steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    number = _number(name, value)
    points = 0
    if number is not None:
        points = next((step["points"] for step in steps if _passes(number, step)), 0)
    return _factor(name, value, points)


def _passes(number: float, step: Mapping[str, Any]) -> bool:
    return bool(number < step["below"] if "below" in step else number > step["above"])


def _peak(hour: Optional[int], peak: Mapping[str, Any]) -> int:
    if hour is None:
        return 0
    if not isinstance(hour, int) or isinstance(hour, bool) or not 0 <= hour <= 23:
        raise CiError(f"The hour is {hour!r}; give a whole number from 0 to 23, in local time.")
    return int(peak["points"]) if peak["first"] <= hour <= peak["last"] else 0


def _number(name: str, value: Any) -> Optional[float]:
    """Return ``value`` if it is null or a finite number; else raise CiError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise CiError(f"The value of '{name}' is {value!r}; give a number, or null where it is unknown.")
    return value


def merged_policy(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return DEFAULT_POLICY with ``policy`` over it.

    Raises CiError if the result is invalid.
    """
    merged = _merge(DEFAULT_POLICY, policy, "")
    numbers = [
        *(merged["weights"][name] for name in DEFAULT_POLICY["weights"]),
        *(merged["peak_hours"][name] for name in DEFAULT_POLICY["peak_hours"]),
        *(value for kind in merged["defaults"].values() for value in kind.values()),
    ]
    if not all(_is_number(value) for value in numbers):
        raise CiError(
            "The dispatch policy's weights, peak_hours and defaults must be numbers; correct the policy."
        )
    for signal, steps in merged["signals"].items():
        if not isinstance(steps, (list, tuple)) or not all(map(_is_step, steps)):
            raise CiError(
                f"The dispatch policy for '{signal}' is {steps!r}; give a list of steps, each 'above' or "
                "'below' with a number, and 'points' as a whole number."
            )
    _check_recommendations(merged["recommendations"])
    return merged


def _merge(default: Mapping[str, Any], given: Any, place: str) -> dict[str, Any]:
    """Return ``default`` with ``given`` over it, dictionaries by entry.

    Only signals may be added.
    """
    if not isinstance(given, Mapping):
        raise CiError(f"The dispatch policy's '{place.strip('.')}' is {given!r}; give a dictionary.")
    unknown = sorted(str(key) for key in set(given) - set(default))
    if unknown and place != "signals.":
        raise CiError(
            f"The dispatch policy has the unknown key '{place}{unknown[0]}'; use one of {', '.join(default)}."
        )
    merged = {**default, **given}
    for key, value in default.items():
        if isinstance(value, Mapping):
            merged[key] = _merge(value, merged[key], f"{place}{key}.")
    return merged


def _check_recommendations(steps: Any) -> None:
    needed = {"recommendation", "confidence"}
    sound = isinstance(steps, (list, tuple)) and all(
        isinstance(step, Mapping) and needed <= set(step) and _is_number(step.get("above", 0))
        for step in steps
    )
    if not sound or not steps or "above" in steps[-1]:
        raise CiError(
            "The dispatch policy's 'recommendations' must each have recommendation, confidence and 'above' "
            "with a number, the last one without 'above'; correct the policy."
        )


def _is_step(step: Any) -> bool:
    if not isinstance(step, Mapping) or set(step) not in ({"above", "points"}, {"below", "points"}):
        return False
    points = step["points"]
    return isinstance(points, int) and _is_number(points) and _is_number(step.get("above", step.get("below")))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def history_of(sums: Iterable[JobSums]) -> dict[str, dict[str, float]]:
    """Return ``sums`` in the form of the history for ``dispatch_decision``.

    ``sums`` are those of one job, or of all jobs of its matrix.
    """
    history: dict[str, dict[str, float]] = {}
    listed = list(sums)
    for kind in KINDS:
        own = [row for row in listed if row.kind == kind]
        runs, timed = sum(row.total_runs for row in own), sum(row.timed_runs for row in own)
        known = history.setdefault(kind, {})
        if runs:
            known["success_rate"] = 100 * sum(row.successful_runs for row in own) / runs
        if timed:
            known["avg_duration"] = sum(row.total_duration for row in own) / timed
    return history
