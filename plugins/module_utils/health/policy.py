"""The policy that judges a host.

Data with defaults, and the check that a policy is valid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ..errors import CiError

NUMBER, TRUTH = "a number", "true or false"

# Every signal that a policy may judge: the kind of its value, and its name in messages. Those up to psi_io
# come with each sample; the rest is read only if a policy names it.
SIGNALS: Mapping[str, tuple[str, str]] = {
    "load_1m": (NUMBER, "load over one minute"),
    "cpu_percent": (NUMBER, "CPU in use (%)"),
    "memory_used_percent": (NUMBER, "memory in use (%)"),
    "swap_used_percent": (NUMBER, "swap in use (%)"),
    "disk_used_percent": (NUMBER, "disk in use (%)"),
    "disk_free_bytes": (NUMBER, "free disk (bytes)"),
    "active_jobs": (NUMBER, "running jobs"),
    "listeners": (NUMBER, "listener processes"),
    "model_cache_available": (TRUTH, "model cache there"),
    "network_reachable": (TRUTH, "GitHub reachable"),
    "psi_cpu_some_avg60": (NUMBER, "time lost waiting for the CPU (%)"),
    "psi_memory_some_avg60": (NUMBER, "time lost waiting for memory (%)"),
    "psi_io_some_avg60": (NUMBER, "time lost waiting for the disk (%)"),
    "clock_synchronized": (TRUTH, "clock synchronized"),
    "clock_skew_seconds": (NUMBER, "clock off the server's (s)"),
    "runner_age_days": (NUMBER, "age of the runner's version (days)"),
    "listeners_dead": (NUMBER, "services without a listener"),
    "listeners_deaf": (NUMBER, "listeners that stand still"),
    "cache_damaged": (NUMBER, "damaged trees in the store"),
    "on_battery": (TRUTH, "on battery"),
    "battery_percent": (NUMBER, "battery charge (%)"),
    "temperature_celsius": (NUMBER, "hottest sensor (°C)"),
    "oom_kills": (NUMBER, "processes killed for memory in the last hour"),
}

# The steps of a signal that a policy only names under ``also``. Sources: GitHub no longer sends jobs to a
# runner version 30 days after its successor came out; systemd-oomd acts at 60 % memory pressure and 90 %
# swap; the rest are this project's own judgements.
SUGGESTED: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "psi_cpu_some_avg60": [{"above": 80.0, "points": 20}],
    "psi_memory_some_avg60": [{"above": 60.0, "points": 40}, {"above": 20.0, "points": 20}],
    "psi_io_some_avg60": [{"above": 60.0, "points": 20}],
    "swap_used_percent": [{"above": 90.0, "points": 30}],
    "clock_synchronized": [{"equals": False, "points": 10}],
    "clock_skew_seconds": [{"above": 30.0, "points": 30}],
    "runner_age_days": [{"above": 30.0, "points": 30}],
    "listeners_dead": [{"above": 0, "points": 30}],
    "listeners_deaf": [{"above": 0, "points": 30}],
    "cache_damaged": [{"above": 0, "points": 15}],
    "on_battery": [{"equals": True, "points": 30}],
    "battery_percent": [{"below": 20.0, "points": 60}],
    "temperature_celsius": [{"above": 95.0, "points": 60}, {"above": 85.0, "points": 20}],
    "oom_kills": [{"above": 0, "points": 15}],
}

# Source: the score table, the decisions and the health check of ColdVox's own health monitor. Comparisons
# are strict, and of the steps of one signal only the worst that applies counts. ``above`` and ``below``
# compare a number, ``equals`` compares true or false.
DEFAULT_POLICY: Mapping[str, Any] = {
    "penalties": {
        "load_1m": [{"above": 8.0, "points": 40}, {"above": 4.0, "points": 20}],
        "memory_used_percent": [{"above": 85.0, "points": 30}, {"above": 70.0, "points": 15}],
        "disk_used_percent": [{"above": 90, "points": 20}, {"above": 80, "points": 10}],
        "active_jobs": [{"above": 3, "points": 25}, {"above": 1, "points": 10}],
        "model_cache_available": [{"equals": False, "points": 15}],
        "network_reachable": [{"equals": False, "points": 20}],
    },
    # The first verdict whose score is reached applies.
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
    "check": {
        "load_1m": [{"above": 10.0, "severity": "critical"}, {"above": 6.0, "severity": "warning"}],
        "memory_used_percent": [
            {"above": 90.0, "severity": "critical"},
            {"above": 80.0, "severity": "warning"},
        ],
        "disk_used_percent": [{"above": 90, "severity": "critical"}, {"above": 80, "severity": "warning"}],
        "listeners": [{"below": 1, "severity": "warning"}],
    },
    # Signals to judge by their steps in SUGGESTED.
    "also": [],
    # The cores of the machine for which the load's thresholds are made; 0 does not scale them.
    "load_reference_cores": 0,
    # How many checks in a row must agree before the published verdict changes.
    "hysteresis": {"fall_after": 3, "rise_after": 3},
    # Five missed checks of a minute each, as Kubernetes allows a node's lease.
    "valid_seconds": 300,
    # The server whose reachability counts; GitHub's when the url is empty.
    "probe": {"url": "", "timeout_seconds": 5.0},
}

SEVERITIES = ("warning", "critical")
_VERDICT_KEYS = ("at_least", "verdict", "recommendation", "strategy")
_TABLES = ("penalties", "check")
# A policy may give these in part; the default has the rest.
_PARTIAL = (*_TABLES, "hysteresis", "probe")


def merged_policy(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return DEFAULT_POLICY with ``policy`` over it.

    Raises CiError if the result is invalid.
    """
    for key in policy:
        if key not in DEFAULT_POLICY:
            known = ", ".join(DEFAULT_POLICY)
            raise CiError(f"The health policy has the unknown key '{key}'; use one of {known}.")
    for key in _PARTIAL:
        if not isinstance(policy.get(key, {}), Mapping):
            wanted = "signals with their steps" if key in _TABLES else "its parts by name"
            raise CiError(f"The health policy has no '{key}' as a dictionary; give {wanted}.")
    merged = {**DEFAULT_POLICY, **policy}
    for key in _PARTIAL:
        merged[key] = {**DEFAULT_POLICY[key], **policy.get(key, {})}
    merged["penalties"] = {
        **DEFAULT_POLICY["penalties"],
        **_also(merged["also"]),
        **policy.get("penalties", {}),
    }
    _check_tables(merged)
    _check_verdicts(merged["verdicts"])
    _check_numbers(merged)
    return merged


def _also(signals: Any) -> dict[str, Any]:
    if not isinstance(signals, (list, tuple)):
        raise CiError("The health policy has no 'also' as a list; give names of signals.")
    for signal in signals:
        if signal not in SUGGESTED:
            raise CiError(
                f"The health policy names '{signal}' under 'also', but no steps are suggested for it; give "
                f"steps under 'penalties', or one of {', '.join(SUGGESTED)}."
            )
    return {signal: SUGGESTED[signal] for signal in signals}


def _check_tables(policy: Mapping[str, Any]) -> None:
    for table in _TABLES:
        for signal, steps in policy[table].items():
            if signal not in SIGNALS:
                raise CiError(
                    f"The health policy judges the unknown signal '{signal}' under '{table}'; use one of "
                    f"{', '.join(SIGNALS)}."
                )
            is_step = _is_penalty if table == "penalties" else _is_check
            if not isinstance(steps, (list, tuple)) or not all(map(is_step, steps)):
                raise CiError(_bad_steps(table, signal, steps))


def _bad_steps(table: str, signal: str, steps: Any) -> str:
    consequence = (
        "'points' as a whole number of 0 or more"
        if table == "penalties"
        else f"'severity' as one of {', '.join(SEVERITIES)}"
    )
    return (
        f"The health policy for '{signal}' is {steps!r}; give a list of steps, each 'above' with a number, "
        f"'below' with a number or 'equals' with true or false, and {consequence}."
    )


def _is_penalty(step: Any) -> bool:
    if not isinstance(step, Mapping) or isinstance(step.get("points"), bool):
        return False
    return isinstance(step.get("points"), int) and step["points"] >= 0 and _compares(step, "points")


def _is_check(step: Any) -> bool:
    return isinstance(step, Mapping) and step.get("severity") in SEVERITIES and _compares(step, "severity")


def _compares(step: Mapping[str, Any], consequence: str) -> bool:
    if set(step) == {"equals", consequence}:
        return isinstance(step["equals"], bool)
    return any(set(step) == {word, consequence} and is_number(step[word]) for word in ("above", "below"))


def _check_verdicts(verdicts: Any) -> None:
    if not isinstance(verdicts, (list, tuple)) or not all(isinstance(each, Mapping) for each in verdicts):
        raise CiError("The health policy has no 'verdicts' as a list of dictionaries; give such a list.")
    for verdict in verdicts:
        missing = [key for key in _VERDICT_KEYS if key not in verdict]
        if missing:
            raise CiError(f"A verdict of the health policy has no '{missing[0]}': {verdict!r}; add it.")


def _check_numbers(policy: Mapping[str, Any]) -> None:
    hysteresis, probe = policy["hysteresis"], policy["probe"]
    for key in ("fall_after", "rise_after"):
        if not isinstance(hysteresis[key], int) or not 1 <= hysteresis[key] <= 100:
            raise CiError(
                f"The health policy has hysteresis.{key} {hysteresis[key]!r}; give a number from 1 to 100."
            )
    for name, value, least in (
        ("load_reference_cores", policy["load_reference_cores"], 0),
        ("valid_seconds", policy["valid_seconds"], 1),
        ("probe.timeout_seconds", probe["timeout_seconds"], 0.1),
    ):
        if not is_number(value) or value < least:
            raise CiError(f"The health policy has {name} {value!r}; give a number of {least} or more.")
    unknown = sorted({*hysteresis, *probe} - {"fall_after", "rise_after", "url", "timeout_seconds"})
    if unknown:
        raise CiError(
            f"The health policy has the unknown key '{unknown[0]}'; use fall_after and rise_after under "
            "'hysteresis', url and timeout_seconds under 'probe'."
        )
    url = probe["url"]
    if not isinstance(url, str) or (url and not url.startswith(("http://", "https://"))):
        raise CiError(f"The health policy has probe.url {url!r}; give an http or https address.")


def is_number(value: Any) -> bool:
    """Return whether ``value`` is a number; true and false are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def scaled(policy: Mapping[str, Any], metrics: Mapping[str, Any], table: str) -> dict[str, Any]:
    """Return the steps of ``table`` by signal; the load is scaled to the cores."""
    steps = dict(policy[table])
    cores, reference = metrics.get("cpu_count"), policy["load_reference_cores"]
    if reference and is_number(cores) and "load_1m" in steps:
        steps["load_1m"] = [
            {
                word: part * cores / reference if word in ("above", "below") else part
                for word, part in step.items()
            }
            for step in steps["load_1m"]
        ]
    return steps


def holding(signal: str, value: Any, steps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return those of ``steps`` that apply to ``value``.

    Raises CiError if they cannot be compared.
    """
    return [step for step in steps if _applies(signal, value, step)]


def _applies(signal: str, value: Any, step: Mapping[str, Any]) -> bool:
    if "equals" in step and isinstance(value, bool):
        return bool(value == step["equals"])
    if "equals" not in step and is_number(value):
        return bool(value > step["above"]) if "above" in step else bool(value < step["below"])
    wanted = TRUTH if "equals" in step else NUMBER
    raise CiError(f"The metric '{signal}' is {value!r}, but its policy compares {wanted}; give {wanted}.")


def threshold(step: Mapping[str, Any]) -> Any:
    """Return the value with which ``step`` compares."""
    return next(step[word] for word in ("above", "below", "equals") if word in step)


def explanation(finding: Mapping[str, Any]) -> str:
    """Return one penalty or finding in words.

    ``load over one minute is 9.3, above 8.0``.
    """
    value, limit = finding["value"], finding["threshold"]
    words = SIGNALS.get(finding["signal"], ("", finding["signal"]))[1]
    if isinstance(value, bool):
        return f"{words}: {'yes' if value else 'no'}"
    return f"{words} is {value:g}, {'above' if value > limit else 'below'} {limit:g}"


def probe_url(policy: Mapping[str, Any], github_url: str) -> str:
    """Return the address whose reachability counts."""
    return str(policy["probe"]["url"]) or github_url


def verdict_named(policy: Mapping[str, Any], name: str) -> Optional[Mapping[str, Any]]:
    """Return the verdict called ``name``, or None."""
    return next((each for each in policy["verdicts"] if each["verdict"] == name), None)
