"""The filters of decisions, as a template calls them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.coldvox.ci.plugins.filter import (
    cache_key,
    dispatch_decision,
    matching_runners,
    queue_advice,
    runs_on_labels,
)

FILTERS = {
    name: function
    for module in (cache_key, dispatch_decision, matching_runners, queue_advice, runs_on_labels)
    for name, function in module.FilterModule().filters().items()
}
SHA = "30f26242c4eb449f948e42cb302dd7a686cb29a3423a8367f99ff41780942498"
MODEL = {"name": "m", "sha256": SHA}
CONTENT = f"m/{SHA[:16]}/"
WORKFLOW = """
on: [push]
jobs:
  lint:
    runs-on: ubuntu-latest
  build:
    strategy:
      matrix: {os: [nobara, debian]}
    runs-on: [self-hosted, "${{ matrix.os }}"]
"""


@pytest.mark.parametrize(
    ("name", "value", "options", "result"),
    [
        ("queue_advice", {"load_1m": 9, "active_jobs": 2}, {}, "throttle"),
        ("queue_advice", {"active_jobs": 3}, {"max_concurrent": 4}, "ready"),
        ("queue_advice", {}, {}, "ready"),
        ("matching_runners", "A", {"runners": [{"labels": ["a"]}]}, [{"labels": ["a"]}]),
        ("cache_key", MODEL, {"os": "linux"}, {"key": f"{CONTENT}linux", "restore_keys": [CONTENT, "m/"]}),
    ],
)
def test_decision_filters_return_the_result(
    name: str, value: Any, options: dict[str, Any], result: Any
) -> None:
    assert FILTERS[name](value, **options) == result


def test_dispatch_decision_has_the_documented_keys() -> None:
    decision = FILTERS["dispatch_decision"]({"load_1m": 1.0}, hour=12)
    assert list(decision) == ["recommendation", "confidence", "score", "factors"]
    assert decision["score"] == 2 + 11 + 20 - 10
    assert FILTERS["dispatch_decision"]({}, history=None, hour=3, policy=None)["score"] == 13


def test_runs_on_labels_reads_the_text_of_a_workflow() -> None:
    lint, build = FILTERS["runs_on_labels"](WORKFLOW)
    assert (lint["job"], lint["labels"]) == ("lint", ["ubuntu-latest"])
    assert (build["labels"], build["unknown"]) == (["self-hosted"], ["${{ matrix.os }}"])


@pytest.mark.parametrize(
    ("name", "value", "options", "message"),
    [
        ("queue_advice", "load", {}, "takes metrics as a dictionary, not as str"),
        ("queue_advice", {}, {"max_concurrent": 0}, "cannot use max_concurrent 0; pass a whole number"),
        ("queue_advice", {}, {"max_concurrent": True}, "cannot use max_concurrent True; pass a whole number"),
        ("queue_advice", {"load_1m": "high"}, {}, "'load_1m' is 'high'"),
        ("dispatch_decision", [], {}, "takes metrics as a dictionary"),
        ("dispatch_decision", {}, {"history": [1]}, "takes history as a dictionary"),
        ("dispatch_decision", {}, {"policy": "strict"}, "takes policy as a dictionary"),
        ("dispatch_decision", {}, {"hour": 25}, "hour is 25"),
        ("matching_runners", "x", {"runners": "y"}, "takes runners as a list, not as str"),
        ("matching_runners", "x", {"runners": [3]}, "A runner is 3"),
        ("runs_on_labels", {}, {}, "takes a text, not dict"),
        ("runs_on_labels", "a: b: c", {}, "not valid YAML at line 1"),
        ("runs_on_labels", "a: !!python/object:os.system {}", {}, "not valid YAML at line 1"),
        ("runs_on_labels", "[" * 5000, {}, "not valid YAML"),
        ("runs_on_labels", "on: push", {}, "has no 'jobs'"),
        ("cache_key", MODEL, {"os": "linux", "labels": "x"}, "takes labels as a list, not as str"),
        ("cache_key", MODEL, {"os": ""}, "takes os as a text"),
        ("cache_key", {"name": "m"}, {"os": "linux"}, "no 'sha256'"),
    ],
)
def test_decision_filters_refuse_bad_input(
    name: str, value: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        FILTERS[name](value, **options)
