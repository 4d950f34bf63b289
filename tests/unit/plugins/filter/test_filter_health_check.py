"""The filters of health check and policy, as a template calls them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.coldvox.ci.plugins.filter.health_check import FilterModule as CheckFilters
from ansible_collections.coldvox.ci.plugins.filter.health_policy import FilterModule as PolicyFilters

health_check = CheckFilters().filters()["health_check"]
health_policy = PolicyFilters().filters()["health_policy"]


def test_health_check_judges_and_takes_a_policy() -> None:
    metrics = {"load_1m": 11.0}
    assert health_check(metrics)["level"] == "CONCERNING"
    assert health_check(metrics, policy={"check": {"load_1m": []}})["level"] == "EXCELLENT"
    assert health_check(metrics, policy=None)["findings"][0]["severity"] == "critical"


@pytest.mark.parametrize(
    ("metrics", "policy", "message"),
    [
        ("load_1m=9", None, "takes metrics as a dictionary, not as str"),
        ({}, [1], "takes policy as a dictionary, not as list"),
        ({}, {"check": {"lod": []}}, "unknown signal 'lod'"),
        ({"load_1m": "high"}, None, "metric 'load_1m' is 'high'"),
    ],
)
def test_health_check_refuses_bad_metrics_and_policies(metrics: Any, policy: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        health_check(metrics, policy)


def test_health_policy_fills_in_defaults() -> None:
    whole = health_policy({"also": ["on_battery"]})
    assert whole["penalties"]["on_battery"] == [{"equals": True, "points": 30}]
    assert whole["hysteresis"] == {"fall_after": 3, "rise_after": 3}


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (5, "takes a dictionary, not int"),
        ({"penalties": {"lod": []}}, "unknown signal 'lod' under 'penalties'"),
    ],
)
def test_health_policy_refuses_a_bad_policy(policy: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        health_policy(policy)
