"""The health score: a pure judgement of one sample, by a policy that is data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

from .errors import CiError

FULL_SCORE = 100

# Source: the score table and the decisions of ColdVox's own health monitor. Comparisons are strict, and of
# the steps of one signal only the worst that applies counts. ``above`` compares a number, ``equals`` a truth.
DEFAULT_POLICY: Mapping[str, Any] = {
    "penalties": {
        "load_1m": [{"above": 8.0, "points": 40}, {"above": 4.0, "points": 20}],
        "memory_used_percent": [{"above": 85.0, "points": 30}, {"above": 70.0, "points": 15}],
        "disk_used_percent": [{"above": 90, "points": 20}, {"above": 80, "points": 10}],
        "active_jobs": [{"above": 3, "points": 25}, {"above": 1, "points": 10}],
        "model_cache_available": [{"equals": False, "points": 15}],
        "network_reachable": [{"equals": False, "points": 20}],
    },
    # The first whose score is reached holds.
    "verdicts": [
        {
            "at_least": 75,
            "verdict": "healthy",
            "recommendation": "use-self-hosted",
            "strategy": "self-hosted-primary",
        },
        {
            "at_least": 50,
            "verdict": "degraded",
            "recommendation": "use-self-hosted-with-caution",
            "strategy": "self-hosted-monitored",
        },
        {
            "at_least": 0,
            "verdict": "unhealthy",
            "recommendation": "use-fallback",
            "strategy": "cloud-fallback",
            "strategy_without_fallback": "force-self-hosted",
        },
    ],
    "fallback_allowed": True,
}

_VERDICT_KEYS = ("at_least", "verdict", "recommendation", "strategy")


def health_score(metrics: Mapping[str, Any], policy: Optional[Mapping[str, Any]] = None) -> dict[str, Any]:
    """Return the verdict on ``metrics``, a sample of the module ``runner_metrics``.

    ``policy`` replaces parts of DEFAULT_POLICY: single signals under ``penalties``, the whole of any other
    key. The result has ``score`` (0 to 100), ``verdict``, ``recommendation``, ``strategy``, ``penalties``
    (each with ``signal``, ``value``, ``threshold`` and ``points``) and ``unknown``: the signals that are null
    or missing, which cost nothing. Raises CiError for a policy or a value that makes no sense.
    """
    effective = merged_policy(policy or {})
    known = {name: metrics[name] for name in effective["penalties"] if metrics.get(name) is not None}
    penalties = [
        penalty
        for signal, value in known.items()
        for penalty in _penalty(signal, value, effective["penalties"][signal])
    ]
    score = max(0, FULL_SCORE - sum(penalty["points"] for penalty in penalties))
    return {
        "score": score,
        **_judge(score, effective["verdicts"], effective["fallback_allowed"]),
        "penalties": penalties,
        "unknown": [name for name in effective["penalties"] if name not in known],
    }


def _penalty(signal: str, value: Any, steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what ``value`` costs as a list of one, or nothing."""
    costs = [
        {
            "signal": signal,
            "value": value,
            "threshold": step.get("above", step.get("equals")),
            "points": step["points"],
        }
        for step in steps
        if _applies(signal, value, step)
    ]
    return sorted(costs, key=lambda cost: int(cost["points"]))[-1:]


def _applies(signal: str, value: Any, step: Mapping[str, Any]) -> bool:
    if "equals" in step and isinstance(value, bool):
        return bool(value == step["equals"])
    if "above" in step and _is_number(value):
        return bool(value > step["above"])
    wanted = "true or false" if "equals" in step else "a number"
    raise CiError(f"The metric '{signal}' is {value!r}, but its policy compares {wanted}; give {wanted}.")


def _judge(score: int, verdicts: Iterable[Mapping[str, Any]], fallback_allowed: bool) -> dict[str, str]:
    for step in verdicts:
        if score >= step["at_least"]:
            strategy = step["strategy"]
            if not fallback_allowed:
                strategy = step.get("strategy_without_fallback", strategy)
            return {
                "verdict": step["verdict"],
                "recommendation": step["recommendation"],
                "strategy": strategy,
            }
    raise CiError(f"The policy has no verdict for the score {score}; let its last verdict be at_least 0.")


def merged_policy(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return DEFAULT_POLICY with ``policy`` over it; raises CiError when the outcome is not a policy."""
    unknown = sorted(set(policy) - set(DEFAULT_POLICY))
    if unknown:
        known = ", ".join(DEFAULT_POLICY)
        raise CiError(f"The health policy has the unknown key '{unknown[0]}'; its keys are {known}.")
    penalties = policy.get("penalties", {})
    if not isinstance(penalties, Mapping):
        raise CiError("The health policy has no 'penalties' as a dictionary; give signals with their steps.")
    merged = {**DEFAULT_POLICY, **policy, "penalties": {**DEFAULT_POLICY["penalties"], **penalties}}
    for signal, steps in merged["penalties"].items():
        if not isinstance(steps, (list, tuple)) or not all(map(_is_step, steps)):
            raise CiError(
                f"The health policy for '{signal}' is {steps!r}; give a list of steps, each 'above' with a "
                "number or 'equals' with true or false, and 'points' as a whole number of 0 or more."
            )
    for verdict in merged["verdicts"]:
        missing = [key for key in _VERDICT_KEYS if key not in verdict]
        if missing:
            raise CiError(f"A verdict of the health policy has no '{missing[0]}': {verdict!r}; add it.")
    return merged


def _is_step(step: Any) -> bool:
    if not isinstance(step, Mapping) or not isinstance(step.get("points"), int) or step["points"] < 0:
        return False
    if set(step) == {"equals", "points"}:
        return isinstance(step["equals"], bool)
    return set(step) == {"above", "points"} and _is_number(step["above"])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
