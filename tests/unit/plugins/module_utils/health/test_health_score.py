from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.health.policy import (
    DEFAULT_POLICY,
    SIGNALS,
    SUGGESTED,
    explanation,
    merged_policy,
)
from ansible_collections.coldvox.ci.plugins.module_utils.health.score import health_check, health_score
from hypothesis import given
from hypothesis import strategies as st

FIT: dict[str, Any] = {
    "load_1m": 0.5,
    "memory_used_percent": 20.0,
    "disk_used_percent": 30.0,
    "active_jobs": 0,
    "model_cache_available": True,
    "network_reachable": True,
}
WORST: dict[str, Any] = {
    "load_1m": 50.0,
    "memory_used_percent": 99.0,
    "disk_used_percent": 99.0,
    "active_jobs": 9,
    "model_cache_available": False,
    "network_reachable": False,
}


def test_health_score_of_a_fit_host_is_full() -> None:
    assert health_score(FIT) == {
        "score": 100,
        "verdict": "healthy",
        "recommendation": "use-self-hosted",
        "strategy": "self-hosted-primary",
        "penalties": [],
        "unknown": [],
    }


@pytest.mark.parametrize(
    ("signal", "value", "points"),
    [
        ("load_1m", 4.0, 0),
        ("load_1m", 4.01, 20),
        ("load_1m", 8.0, 20),
        ("load_1m", 8.01, 40),
        ("memory_used_percent", 70.0, 0),
        ("memory_used_percent", 70.1, 15),
        ("memory_used_percent", 85.0, 15),
        ("memory_used_percent", 85.1, 30),
        ("disk_used_percent", 80, 0),
        ("disk_used_percent", 80.1, 10),
        ("disk_used_percent", 90, 10),
        ("disk_used_percent", 90.1, 20),
        ("active_jobs", 1, 0),
        ("active_jobs", 2, 10),
        ("active_jobs", 3, 10),
        ("active_jobs", 4, 25),
        ("model_cache_available", False, 15),
        ("network_reachable", False, 20),
    ],
)
def test_health_score_is_strict_and_counts_the_worst_step_only(signal: str, value: Any, points: int) -> None:
    judged = health_score({**FIT, signal: value})
    assert judged["score"] == 100 - points
    assert [(cost["signal"], cost["value"], cost["points"]) for cost in judged["penalties"]] == (
        [(signal, value, points)] if points else []
    )


def test_health_score_penalties_name_the_threshold() -> None:
    judged = health_score({**FIT, "load_1m": 5.2, "network_reachable": False})
    assert [cost["threshold"] for cost in judged["penalties"]] == [4.0, False]


def test_health_score_is_never_below_zero() -> None:
    judged = health_score(WORST)
    assert sum(cost["points"] for cost in judged["penalties"]) == 150
    assert judged["score"] == 0


@pytest.mark.parametrize(
    ("penalty", "score", "verdict", "recommendation", "strategy"),
    [
        (25, 75, "healthy", "use-self-hosted", "self-hosted-primary"),
        (26, 74, "degraded", "use-self-hosted-with-caution", "self-hosted-monitored"),
        (50, 50, "degraded", "use-self-hosted-with-caution", "self-hosted-monitored"),
        (51, 49, "unhealthy", "use-fallback", "cloud-fallback"),
        (100, 0, "unhealthy", "use-fallback", "cloud-fallback"),
    ],
)
def test_health_score_verdicts_begin_exactly_at_their_score(
    penalty: int, score: int, verdict: str, recommendation: str, strategy: str
) -> None:
    policy = {"penalties": {"network_reachable": [{"equals": False, "points": penalty}]}}
    judged = health_score({**FIT, "network_reachable": False}, policy)
    assert (judged["score"], judged["verdict"]) == (score, verdict)
    assert (judged["recommendation"], judged["strategy"]) == (recommendation, strategy)


@pytest.mark.parametrize(
    ("metrics", "strategy"), [(WORST, "force-self-hosted"), (FIT, "self-hosted-primary")]
)
def test_health_score_strategy_without_a_fallback_keeps_jobs(metrics: dict[str, Any], strategy: str) -> None:
    assert health_score(metrics, {"fallback_allowed": False})["strategy"] == strategy


@pytest.mark.parametrize("signal", FIT)
def test_health_score_names_a_null_signal_that_costs_nothing(signal: str) -> None:
    without = {key: value for key, value in WORST.items() if key != signal}
    for metrics in (without, {**WORST, signal: None}):
        judged = health_score(metrics)
        assert judged["unknown"] == [signal]
        assert signal not in [cost["signal"] for cost in judged["penalties"]]


def test_health_score_policy_replaces_one_signal_and_judges_another() -> None:
    policy = {"penalties": {"load_1m": [], "psi_io_some_avg60": [{"above": 40, "points": 33}]}}
    judged = health_score({**FIT, "load_1m": 99.0, "psi_io_some_avg60": 41, "disk_used_percent": 95}, policy)
    assert [(cost["signal"], cost["points"]) for cost in judged["penalties"]] == [
        ("disk_used_percent", 20),
        ("psi_io_some_avg60", 33),
    ]


def test_health_score_policy_does_not_change_the_default() -> None:
    health_score(FIT, {"penalties": {"load_1m": []}, "fallback_allowed": False})
    assert health_score({**FIT, "load_1m": 9.0})["score"] == 60
    assert DEFAULT_POLICY["fallback_allowed"] is True


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"penalty": {}}, "unknown key 'penalty'; use one of penalties, verdicts, fallback_allowed"),
        ({"penalties": {"load_1m": [{"over": 8, "points": 1}]}}, "'load_1m' is .*a list of steps"),
        ({"penalties": {"load_1m": [{"above": 8, "points": -1}]}}, "0 or more"),
        ({"penalties": {"load_1m": [{"above": "8", "points": 1}]}}, "'above' with a number"),
        ({"penalties": {"load_1m": [{"equals": 1, "points": 1}]}}, "'equals' with true or false"),
        ({"penalties": {"load_1m": 8}}, "a list of steps"),
        ({"penalties": []}, "'penalties' as a dictionary"),
        ({"verdicts": []}, "no verdict for the score 100"),
        ({"verdicts": [{"at_least": 0, "verdict": "ok"}]}, "no 'recommendation'"),
    ],
)
def test_health_score_rejects_an_invalid_policy(policy: dict[str, Any], message: str) -> None:
    with pytest.raises(CiError, match=message):
        health_score(FIT, policy)


@pytest.mark.parametrize(
    ("signal", "value"), [("load_1m", "high"), ("load_1m", True), ("network_reachable", 1)]
)
def test_health_score_rejects_a_value_of_the_wrong_kind_by_name(signal: str, value: Any) -> None:
    with pytest.raises(CiError, match=f"metric '{signal}'"):
        health_score({**FIT, signal: value})


percents = st.none() | st.floats(0, 100)
samples = st.fixed_dictionaries(
    {
        "load_1m": st.none() | st.floats(0, 200),
        "memory_used_percent": percents,
        "disk_used_percent": percents,
        "active_jobs": st.none() | st.integers(0, 20),
        "model_cache_available": st.none() | st.booleans(),
        "network_reachable": st.none() | st.booleans(),
    }
)


@given(samples)
def test_health_score_is_bounded_and_is_the_rest_after_penalties(metrics: dict[str, Any]) -> None:
    judged = health_score(metrics)
    assert 0 <= judged["score"] <= 100
    assert judged["score"] == max(0, 100 - sum(cost["points"] for cost in judged["penalties"]))
    assert set(judged["unknown"]) == {key for key, value in metrics.items() if value is None}


@given(
    samples,
    st.sampled_from(["load_1m", "memory_used_percent", "disk_used_percent", "active_jobs"]),
    st.data(),
)
def test_health_score_never_rises_with_more_load(
    metrics: dict[str, Any], signal: str, data: st.DataObject
) -> None:
    value = metrics[signal] or 0
    more = value + data.draw(st.integers(0, 100))
    assert (
        health_score({**metrics, signal: more})["score"] <= health_score({**metrics, signal: value})["score"]
    )


@given(samples, st.sampled_from(["model_cache_available", "network_reachable"]))
def test_health_score_never_rises_with_a_loss(metrics: dict[str, Any], signal: str) -> None:
    assert (
        health_score({**metrics, signal: False})["score"] <= health_score({**metrics, signal: True})["score"]
    )


@given(samples, st.sampled_from(sorted(FIT)))
def test_health_score_of_an_unknown_value_is_never_lower(metrics: dict[str, Any], signal: str) -> None:
    assert health_score({**metrics, signal: None})["score"] >= health_score(metrics)["score"]


def plain_score(metrics: dict[str, Any]) -> int:
    """The score table again, as its authors wrote it."""
    score = 100
    score -= 40 if metrics["load_1m"] > 8.0 else 20 if metrics["load_1m"] > 4.0 else 0
    score -= (
        30 if metrics["memory_used_percent"] > 85.0 else 15 if metrics["memory_used_percent"] > 70.0 else 0
    )
    score -= 20 if metrics["disk_used_percent"] > 90 else 10 if metrics["disk_used_percent"] > 80 else 0
    score -= 25 if metrics["active_jobs"] > 3 else 10 if metrics["active_jobs"] > 1 else 0
    score -= 0 if metrics["model_cache_available"] else 15
    score -= 0 if metrics["network_reachable"] else 20
    return max(score, 0)


def plain_check(metrics: dict[str, Any]) -> tuple[str, int]:
    """The health check again."""
    findings = int(metrics["load_1m"] > 6.0)
    findings += metrics["memory_used_percent"] > 80
    findings += metrics["disk_used_percent"] > 80
    findings += metrics["listeners"] == 0
    return ("CRITICAL", 2) if findings >= 3 else ("CONCERNING", 1) if findings else ("EXCELLENT", 0)


near_thresholds = st.fixed_dictionaries(
    {
        "load_1m": st.sampled_from([0.0, 3.99, 4.0, 4.01, 6.0, 6.01, 7.99, 8.0, 8.01, 10.0, 10.01]),
        "memory_used_percent": st.sampled_from([0.0, 70.0, 70.1, 80.0, 80.1, 85.0, 85.1, 90.0, 90.1, 100.0]),
        "disk_used_percent": st.sampled_from([0, 79.9, 80, 80.1, 90, 90.1, 100]),
        "active_jobs": st.integers(0, 6),
        "listeners": st.integers(0, 3),
        "model_cache_available": st.booleans(),
        "network_reachable": st.booleans(),
    }
)


@given(near_thresholds)
def test_health_score_and_check_agree_with_tables_written_again(metrics: dict[str, Any]) -> None:
    assert health_score(metrics)["score"] == plain_score(metrics)
    judged = health_check(metrics)
    assert (judged["level"], judged["exit_code"]) == plain_check(metrics)


WELL: dict[str, Any] = {**FIT, "listeners": 3}


@pytest.mark.parametrize(
    ("signal", "value", "severity"),
    [
        ("load_1m", 6.0, None),
        ("load_1m", 6.01, "warning"),
        ("load_1m", 10.0, "warning"),
        ("load_1m", 10.01, "critical"),
        ("memory_used_percent", 80.0, None),
        ("memory_used_percent", 80.1, "warning"),
        ("memory_used_percent", 90.0, "warning"),
        ("memory_used_percent", 90.1, "critical"),
        ("disk_used_percent", 80, None),
        ("disk_used_percent", 80.1, "warning"),
        ("disk_used_percent", 90, "warning"),
        ("disk_used_percent", 90.1, "critical"),
        ("listeners", 1, None),
        ("listeners", 0, "warning"),
    ],
)
def test_health_check_is_strict_and_a_signal_is_one_finding(
    signal: str, value: Any, severity: str | None
) -> None:
    judged = health_check({**WELL, signal: value})
    assert [(each["signal"], each["severity"]) for each in judged["findings"]] == (
        [(signal, severity)] if severity else []
    )
    assert judged["exit_code"] == (1 if severity else 0)


@pytest.mark.parametrize(
    ("bad", "level", "code"),
    [
        ({}, "EXCELLENT", 0),
        ({"load_1m": 99.0}, "CONCERNING", 1),
        ({"load_1m": 99.0, "listeners": 0}, "CONCERNING", 1),
        ({"load_1m": 99.0, "listeners": 0, "disk_used_percent": 81}, "CRITICAL", 2),
    ],
)
def test_health_check_is_concerning_by_two_findings_and_critical_by_three(
    bad: dict[str, Any], level: str, code: int
) -> None:
    judged = health_check({**WELL, **bad})
    assert (judged["level"], judged["exit_code"]) == (level, code)


def test_health_check_names_unknown_signals() -> None:
    assert health_check({**WELL, "listeners": None})["unknown"] == ["listeners"]
    assert health_check({})["level"] == "EXCELLENT"


@given(st.fixed_dictionaries({name: st.none() | st.floats(0, 200) for name in DEFAULT_POLICY["check"]}))
def test_health_check_accepts_null(metrics: dict[str, Any]) -> None:
    assert health_check(metrics)["exit_code"] in (0, 1, 2)


@pytest.mark.parametrize(
    ("reference", "cores", "load", "points"),
    [
        (0, 64, 8.01, 40),  # not scaled
        (12, 12, 8.0, 20),
        (12, 24, 16.0, 20),
        (12, 24, 16.01, 40),
        (12, 6, 4.01, 40),
        (12, None, 8.01, 40),  # the number of cores is unknown
    ],
)
def test_health_score_scales_the_load_with_the_cores(
    reference: int, cores: int | None, load: float, points: int
) -> None:
    judged = health_score({**FIT, "cpu_count": cores, "load_1m": load}, {"load_reference_cores": reference})
    assert 100 - judged["score"] == points


def test_health_score_penalty_has_the_scaled_threshold() -> None:
    judged = health_score({"cpu_count": 24, "load_1m": 9.0}, {"load_reference_cores": 12})
    assert judged["penalties"][0]["threshold"] == 8.0


@pytest.mark.parametrize("signal", SUGGESTED)
def test_health_score_judges_a_suggested_signal_only_if_a_policy_names_it(signal: str) -> None:
    worst = SUGGESTED[signal][0]
    if "equals" in worst:
        bad: Any = worst["equals"]
    else:
        bad = worst["above"] + 1 if "above" in worst else worst["below"] - 1
    metrics = {**FIT, signal: bad}
    assert health_score(metrics)["score"] == 100
    judged = health_score(metrics, {"also": [signal]})
    assert 100 - judged["score"] == worst["points"]
    assert explanation(judged["penalties"][0]).startswith(SIGNALS[signal][1])


@pytest.mark.parametrize(
    ("judged", "words"),
    [
        ({"signal": "load_1m", "value": 9.25, "threshold": 8.0}, "load over one minute is 9.25, above 8"),
        ({"signal": "battery_percent", "value": 5, "threshold": 20.0}, "battery charge (%) is 5, below 20"),
        ({"signal": "network_reachable", "value": False, "threshold": False}, "GitHub reachable: no"),
    ],
)
def test_explanation_puts_a_finding_into_words(judged: dict[str, Any], words: str) -> None:
    assert explanation(judged) == words


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"penalties": {"lod_1m": []}}, "unknown signal 'lod_1m' under 'penalties'; use one of load_1m"),
        ({"check": {"lod_1m": []}}, "unknown signal 'lod_1m' under 'check'"),
        ({"check": {"load_1m": [{"above": 1, "points": 3}]}}, "'severity' as one of warning, critical"),
        ({"also": ["load_1m"]}, "'load_1m' under 'also', but no steps are suggested"),
        ({"also": "on_battery"}, "no 'also' as a list"),
        ({"hysteresis": {"fall_after": 0}}, r"hysteresis.fall_after 0; give a number from 1"),
        ({"hysteresis": {"fall": 3}}, "unknown key 'fall'"),
        ({"hysteresis": 3}, "no 'hysteresis' as a dictionary"),
        ({"valid_seconds": 0}, "valid_seconds 0"),
        ({"probe": {"timeout_seconds": 0}}, r"probe.timeout_seconds 0"),
        ({"probe": {"url": "ftp://x"}}, "give an http or https address"),
        ({"load_reference_cores": -1}, "load_reference_cores -1"),
        ({"verdicts": ["ok"]}, "'verdicts' as a list of dictionaries"),
    ],
)
def test_merged_policy_rejects_invalid_parts(policy: dict[str, Any], message: str) -> None:
    with pytest.raises(CiError, match=message):
        merged_policy(policy)


def test_merged_policy_of_a_complete_policy_is_itself() -> None:
    whole = merged_policy({"also": ["on_battery"], "penalties": {"load_1m": []}})
    assert merged_policy(whole) == whole
