"""The filter ``health_score``, as a template calls it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.coldvox.ci.plugins.filter.health_score import FilterModule

health_score = FilterModule().filters()["health_score"]


def test_health_score_judges_and_takes_a_policy() -> None:
    metrics = {"load_1m": 9.0}
    assert health_score(metrics)["score"] == 60
    assert health_score(metrics, policy={"penalties": {"load_1m": []}})["score"] == 100
    assert health_score(metrics, policy=None)["score"] == 60


@pytest.mark.parametrize(
    ("metrics", "policy", "message"),
    [
        ("load_1m=9", None, "takes metrics as a dictionary, not as str"),
        ({}, [1], "takes policy as a dictionary, not as list"),
        ({}, {"penalty": {}}, "unknown key 'penalty'"),
        ({"load_1m": "high"}, None, "metric 'load_1m' is 'high'"),
    ],
)
def test_health_score_refuses_bad_metrics_and_policies(metrics: Any, policy: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        health_score(metrics, policy)
