from __future__ import annotations

import itertools
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.health.dispatch import (
    DEFAULT_POLICY,
    JobSums,
    dispatch_decision,
    history_of,
    queue_advice,
)
from hypothesis import given
from hypothesis import strategies as st

# These values give and cost no points.
NEUTRAL: dict[str, Any] = {"load_1m": 4.0, "memory_used_percent": 65.0, "active_jobs": 1}
EQUAL = {
    "self_hosted": {"success_rate": 90, "avg_duration": 300},
    "cloud": {"success_rate": 90, "avg_duration": 300},
}


def quotient(dividend: int, divisor: int) -> int:
    """Divide as a shell does."""
    return int(dividend / divisor) if divisor else 0


def restated(sample: dict[str, Any], history: dict[str, Any], hour: int) -> tuple[int, str, str]:
    """The seed's recommendation, written again from its description."""
    own_rate = history.get("self_hosted", {}).get("success_rate", 100)
    cloud_rate = history.get("cloud", {}).get("success_rate", 95)
    own_time = history.get("self_hosted", {}).get("avg_duration", 300)
    cloud_time = history.get("cloud", {}).get("avg_duration", 480)
    score = quotient((own_rate - cloud_rate) * 40, 100)
    if own_time < cloud_time:
        score += quotient((cloud_time - own_time) * 30, cloud_time)
    else:
        score -= quotient((own_time - cloud_time) * 30, own_time)
    load, memory, jobs = sample["load_1m"], sample["memory_used_percent"], sample["active_jobs"]
    if load is not None:
        score += 20 if load < 2.0 else -20 if load > 6.0 else 0
    if memory is not None:
        score += 10 if memory < 50.0 else -10 if memory > 80.0 else 0
    if jobs is not None and jobs > 2:
        score -= 15
    if hour in range(9, 18):
        score -= 10
    score = -100 if score < -100 else 100 if score > 100 else score
    if score > 25:
        return score, "use-self-hosted", "HIGH"
    if score > 0:
        return score, "use-self-hosted-with-monitoring", "MEDIUM"
    if score > -25:
        return score, "use-cloud-fallback", "MEDIUM"
    return score, "force-cloud-fallback", "HIGH"


numbers = st.none() | st.floats(0, 200)
samples = st.fixed_dictionaries(
    {"load_1m": numbers, "memory_used_percent": numbers, "active_jobs": st.none() | st.integers(0, 9)}
)
kinds = st.fixed_dictionaries(
    {}, optional={"success_rate": st.integers(0, 100), "avg_duration": st.integers(0, 20000)}
)
histories = st.fixed_dictionaries({}, optional={"self_hosted": kinds, "cloud": kinds})
hours = st.integers(0, 23)


@given(samples, histories, hours)
def test_dispatch_decision_is_that_of_the_seed(sample: Any, history: Any, hour: int) -> None:
    decision = dispatch_decision(sample, history, hour)
    assert (decision["score"], decision["recommendation"], decision["confidence"]) == restated(
        sample, history, hour
    )
    assert -100 <= decision["score"] <= 100


@pytest.mark.parametrize(
    ("signal", "value", "points"),
    [
        ("load_1m", 1.99, 20),
        ("load_1m", 2.0, 0),
        ("load_1m", 6.0, 0),
        ("load_1m", 6.01, -20),
        ("memory_used_percent", 49.9, 10),
        ("memory_used_percent", 50.0, 0),
        ("memory_used_percent", 80.0, 0),
        ("memory_used_percent", 80.1, -10),
        ("active_jobs", 2, 0),
        ("active_jobs", 3, -15),
        ("load_1m", None, 0),
        ("memory_used_percent", None, 0),
        ("active_jobs", None, 0),
    ],
)
def test_dispatch_decision_gives_points_beyond_each_threshold(signal: str, value: Any, points: int) -> None:
    decision = dispatch_decision({**NEUTRAL, signal: value}, EQUAL, 3)
    assert decision["score"] == points
    assert {"factor": signal, "value": value, "points": points} in decision["factors"]


@pytest.mark.parametrize(("hour", "points"), [(8, 0), (9, -10), (17, -10), (18, 0), (0, 0), (None, 0)])
def test_dispatch_decision_peak_hours_include_both_ends(hour: int | None, points: int) -> None:
    assert dispatch_decision(NEUTRAL, EQUAL, hour)["score"] == points


@pytest.mark.parametrize(
    ("own", "cloud", "points"),
    [
        ((100, 300), (95, 480), 2 + 11),  # the defaults: 200 / 100 and 5400 / 480 = 11.25
        ((90, 300), (90, 300), 0),
        ((88, 300), (90, 300), 0),  # -80 / 100 goes to 0, not to -1
        ((0, 300), (100, 300), -40),
        ((100, 300), (0, 300), 40),
        ((90, 301), (90, 300), 0),  # -30 / 301
        ((90, 311), (90, 300), -1),  # -330 / 311
        ((90, 290), (90, 300), 1),
        ((90, 0), (90, 300), 30),
        ((90, 300), (90, 0), -30),
        ((90, 0), (90, 0), 0),
        ((97.5, 300), (95, 300), 1),
    ],
)
def test_dispatch_decision_divides_rates_and_times_toward_zero(own: Any, cloud: Any, points: int) -> None:
    history = {
        "self_hosted": {"success_rate": own[0], "avg_duration": own[1]},
        "cloud": {"success_rate": cloud[0], "avg_duration": cloud[1]},
    }
    assert dispatch_decision(NEUTRAL, history)["score"] == points


@pytest.mark.parametrize(
    ("score", "recommendation", "confidence"),
    [
        (26, "use-self-hosted", "HIGH"),
        (25, "use-self-hosted-with-monitoring", "MEDIUM"),
        (1, "use-self-hosted-with-monitoring", "MEDIUM"),
        (0, "use-cloud-fallback", "MEDIUM"),
        (-24, "use-cloud-fallback", "MEDIUM"),
        (-25, "force-cloud-fallback", "HIGH"),
        (-100, "force-cloud-fallback", "HIGH"),
    ],
)
def test_dispatch_decision_recommendations_begin_just_above_their_score(
    score: int, recommendation: str, confidence: str
) -> None:
    policy = {"peak_hours": {"first": 0, "last": 23, "points": score}}
    decision = dispatch_decision(NEUTRAL, EQUAL, 3, policy)
    assert (decision["score"], decision["recommendation"], decision["confidence"]) == (
        score,
        recommendation,
        confidence,
    )


def test_dispatch_decision_score_is_never_below_the_scale() -> None:
    worst = {"load_1m": 99.0, "memory_used_percent": 99.0, "active_jobs": 9}
    history = {
        "self_hosted": {"success_rate": 0, "avg_duration": 9000},
        "cloud": {"success_rate": 100, "avg_duration": 1},
    }
    decision = dispatch_decision(worst, history, 12)
    assert sum(factor["points"] for factor in decision["factors"]) == -124
    assert decision["score"] == -100


def test_dispatch_decision_without_a_history_uses_the_defaults() -> None:
    for history in (None, {}, {"self_hosted": None}, {"cloud": {"success_rate": None}}):
        assert dispatch_decision(NEUTRAL, history)["score"] == 13


@given(samples, histories, hours, st.integers(0, 100))
def test_dispatch_decision_never_falls_with_a_better_history(
    sample: Any, history: Any, hour: int, rate: int
) -> None:
    def score(own: int) -> int:
        both = {**history, "self_hosted": {**history.get("self_hosted", {}), "success_rate": own}}
        decision: int = dispatch_decision(sample, both, hour)["score"]
        return decision

    assert score(100) >= score(rate) >= score(0)


@given(samples, histories, hours, st.sampled_from(sorted(NEUTRAL)), st.integers(0, 50))
def test_dispatch_decision_never_rises_with_more_load(
    sample: Any, history: Any, hour: int, signal: str, more: int
) -> None:
    value = sample[signal] or 0
    low, high = (
        dispatch_decision({**sample, signal: amount}, history, hour)["score"]
        for amount in (value, value + more)
    )
    assert high <= low


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"weight": {}}, "unknown key 'weight'; use one of defaults, weights"),
        ({"weights": {"speed": 1}}, "unknown key 'weights.speed'"),
        ({"weights": 3}, "'weights' is 3; give a dictionary"),
        ({"weights": {"success_rate": "40"}}, "must be numbers"),
        ({"defaults": {"cloud": {"success_rate": True}}}, "must be numbers"),
        ({"peak_hours": {"first": None}}, "must be numbers"),
        ({"signals": {"load_1m": {"above": 3}}}, "'load_1m' is .*list of steps"),
        ({"signals": {"load_1m": [{"above": 3}]}}, "'points' as a whole number"),
        ({"signals": {"load_1m": [{"above": 3, "below": 1, "points": 1}]}}, "'above' or 'below'"),
        ({"signals": {"load_1m": [{"above": float("nan"), "points": 1}]}}, "with a number"),
        ({"recommendations": []}, "must each have"),
        ({"recommendations": [{"above": 1, "recommendation": "x", "confidence": "y"}]}, "without 'above'"),
        ({"recommendations": [{"recommendation": "x"}]}, "must each have"),
        ({"recommendations": 3}, "must each have"),
    ],
)
def test_dispatch_decision_rejects_an_invalid_policy(policy: Any, message: str) -> None:
    with pytest.raises(CiError, match=message):
        dispatch_decision(NEUTRAL, None, 3, policy)


def test_dispatch_decision_takes_single_entries_and_other_signals_of_a_policy() -> None:
    policy = {
        "weights": {"avg_duration": 0},
        "signals": {"load_1m": [], "swap_used_percent": [{"above": 50, "points": -33}]},
    }
    decision = dispatch_decision({**NEUTRAL, "load_1m": 99, "swap_used_percent": 51}, None, 3, policy)
    assert decision["score"] == 2 - 33
    assert dispatch_decision(NEUTRAL, None, 3)["score"] == 13, "the default has changed"


@pytest.mark.parametrize(
    ("sample", "history", "hour", "message"),
    [
        ({"load_1m": "high"}, None, 3, "'load_1m' is 'high'"),
        ({"load_1m": True}, None, 3, "'load_1m' is True"),
        ({"load_1m": float("nan")}, None, 3, "'load_1m' is nan"),
        ({}, {"cloud": 3}, 3, "history of 'cloud' is 3"),
        ({}, {"cloud": {"success_rate": 101}}, 3, "from 0 to 100"),
        ({}, {"cloud": {"avg_duration": -1}}, 3, "of 0 or more"),
        ({}, {"self_hosted": {"avg_duration": "long"}}, 3, "'self_hosted.avg_duration' is 'long'"),
        ({}, None, 24, "hour is 24"),
        ({}, None, -1, "hour is -1"),
        ({}, None, "9", "hour is '9'"),
    ],
)
def test_dispatch_decision_rejects_invalid_values(sample: Any, history: Any, hour: Any, message: str) -> None:
    with pytest.raises(CiError, match=message):
        dispatch_decision(sample, history, hour)


def advised(load: float, active: int, room: int) -> str:
    """The seed's advice, written again."""
    if load > 8.0 and active > 1:
        return "throttle"
    return "ready" if active < room else "busy"


def test_queue_advice_is_that_of_the_seed_on_both_sides_of_every_threshold() -> None:
    for load, active, room in itertools.product((0, 7.99, 8.0, 8.01, 99), range(6), (1, 2, 3, 4)):
        sample = {"load_1m": load, "active_jobs": active}
        assert queue_advice(sample, room) == advised(load, active, room), (load, active, room)
        if room == 3:
            assert queue_advice(sample) == advised(load, active, 3)


@given(samples)
def test_queue_advice_takes_null_for_zero(sample: Any) -> None:
    zeroed = {name: value or 0 for name, value in sample.items()}
    present = {name: value for name, value in sample.items() if value is not None}
    assert queue_advice(sample) == queue_advice(present) == queue_advice(zeroed)


def test_history_of_adds_up_the_jobs_of_a_matrix() -> None:
    sums = [
        JobSums("build (beta)", "self_hosted", 4, 1, 30.0, 3),
        JobSums("build (stable)", "self_hosted", 6, 6, 60.0, 6),
        JobSums("build", "cloud", 2, 1, 0.0, 0),
    ]
    assert history_of(sums) == {
        "self_hosted": {"success_rate": 70.0, "avg_duration": 10.0},
        "cloud": {"success_rate": 50.0},
    }
    assert dispatch_decision(NEUTRAL, history_of([])) == dispatch_decision(NEUTRAL)


def test_dispatch_decision_accepts_its_default_policy() -> None:
    assert dispatch_decision(NEUTRAL, None, 3, DEFAULT_POLICY) == dispatch_decision(NEUTRAL, None, 3)
