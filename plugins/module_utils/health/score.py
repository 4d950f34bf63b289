"""The health score and the health check: two judgements of one sample by a policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

from ..errors import CiError
from .policy import SEVERITIES, holding, merged_policy, scaled, threshold

FULL_SCORE = 100
# Source: ColdVox's own health check. By the least number of findings, the worst first.
_LEVELS = ((3, "CRITICAL", 2), (1, "CONCERNING", 1), (0, "EXCELLENT", 0))


def health_score(metrics: Mapping[str, Any], policy: Optional[Mapping[str, Any]] = None) -> dict[str, Any]:
    """Return score and verdict of ``metrics``, a sample of ``runner_metrics``.

    ``policy`` replaces parts of DEFAULT_POLICY: single signals under ``penalties``, the whole of any other
    key. The result has ``score`` (0 to 100), ``verdict``, ``recommendation``, ``strategy``, ``penalties``
    (each with ``signal``, ``value``, ``threshold`` and ``points``) and ``unknown``: the signals that are null
    or missing, which cost nothing. Raises CiError for an invalid policy or value.
    """
    effective = merged_policy(policy or {})
    table = scaled(effective, metrics, "penalties")
    known = _known(metrics, table)
    penalties = [
        {"signal": signal, "value": value, "threshold": threshold(step), "points": step["points"]}
        for signal, value in known.items()
        for step in _worst(signal, value, table[signal])
    ]
    score = max(0, FULL_SCORE - sum(penalty["points"] for penalty in penalties))
    return {
        "score": score,
        **judged(score, effective["verdicts"], effective["fallback_allowed"]),
        "penalties": penalties,
        "unknown": [name for name in table if name not in known],
    }


def health_check(metrics: Mapping[str, Any], policy: Optional[Mapping[str, Any]] = None) -> dict[str, Any]:
    """Return the health of ``metrics`` for a person.

    The result has ``level``, ``exit_code``, ``findings`` and ``unknown``. Each signal of the policy's
    ``check`` that passes a threshold is one finding, with ``signal``, ``value``, ``threshold`` and
    ``severity``. No finding is EXCELLENT (exit code 0), one or two are CONCERNING (1), more are CRITICAL (2).
    Signals that are null or missing are in ``unknown``. Raises CiError as ``health_score`` does.
    """
    table = scaled(merged_policy(policy or {}), metrics, "check")
    known = _known(metrics, table)
    findings = [
        {"signal": signal, "value": value, "threshold": threshold(step), "severity": step["severity"]}
        for signal, value in known.items()
        for step in _worst(signal, value, table[signal])
    ]
    level, code = next((level, code) for least, level, code in _LEVELS if len(findings) >= least)
    return {
        "level": level,
        "exit_code": code,
        "findings": findings,
        "unknown": [name for name in table if name not in known],
    }


def _known(metrics: Mapping[str, Any], table: Iterable[str]) -> dict[str, Any]:
    return {name: metrics[name] for name in table if metrics.get(name) is not None}


def _worst(signal: str, value: Any, steps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return a list of the worst step that ``value`` passes, or an empty list."""

    def badness(step: Mapping[str, Any]) -> int:
        return int(step["points"]) if "points" in step else SEVERITIES.index(step["severity"])

    return sorted(holding(signal, value, steps), key=badness)[-1:]


def judged(score: int, verdicts: Iterable[Mapping[str, Any]], fallback_allowed: bool) -> dict[str, str]:
    """Return verdict, recommendation and strategy for ``score``.

    They are those of the first verdict that ``score`` reaches.
    """
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
