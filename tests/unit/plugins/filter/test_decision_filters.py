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
    ("runs_on", "labels"),
    [
        ("[self-hosted, 2204]", ["self-hosted", "2204"]),
        ("[self-hosted, 22.10]", ["self-hosted", "22.10"]),
        ("[self-hosted, 0o17, 0x1F, 1_000, 12:30:00]", ["self-hosted", "0o17", "0x1F", "1_000", "12:30:00"]),
        ("[self-hosted, yes, null, ~, 2026-11-28]", ["self-hosted", "yes", "null", "~", "2026-11-28"]),
        ("[self-hosted, !!int '7', =]", ["self-hosted", "7", "="]),
        ("2204", ["2204"]),
        ("{group: 1, labels: on}", ["on"]),
    ],
)
def test_runs_on_labels_reads_each_scalar_as_text(runs_on: str, labels: list[str]) -> None:
    """actions/runner converts each scalar of runs-on to a text (TemplateReader)."""
    (job,) = FILTERS["runs_on_labels"](f"jobs:\n  on:\n    runs-on: {runs_on}\n")
    assert (job["job"], job["labels"]) == ("on", labels)


def test_runs_on_labels_lets_an_anchor_be_defined_again() -> None:
    """As in actionlint's testdata/ok/anchors.yaml: an alias means the latest anchor before it."""
    text = """
on: {push: &filters {branches: [main]}, pull_request: *filters}
jobs:
  first: &job
    runs-on: &runner ubuntu-latest
  second: {runs-on: *runner}
  third:
    runs-on: &runner [self-hosted, &runner arm64]
  fourth: {runs-on: *runner}
  fifth: *job
"""
    jobs = {job["job"]: job["labels"] for job in FILTERS["runs_on_labels"](text)}
    hosted = ["ubuntu-latest"]
    assert jobs == {
        "first": hosted,
        "second": hosted,
        "third": ["self-hosted", "arm64"],
        "fourth": ["arm64"],
        "fifth": hosted,
    }


@pytest.mark.parametrize(
    "elsewhere",
    [
        "on: {schedule: [{cron: 0 0 * * 0}]}\nenv: {DAY: 2026-13-45, AT: 1:99:99, N: 0b2, EQ: =, X: ~}",
        "on: push\nenv: {A: !secret x, B: !!float no, C: !!binary '!'}",
        "on: push\nx-common: &c {A: 1}\nenv: {<<: [*c, 3]}",
        "on: {workflow_dispatch: {inputs: {n: {default: .inf, type: number}}}}",
    ],
)
def test_runs_on_labels_ignores_everything_else_in_the_file(elsewhere: str) -> None:
    (job,) = FILTERS["runs_on_labels"](f"{elsewhere}\njobs: {{a: {{runs-on: x, timeout-minutes: 1e999}}}}\n")
    assert job["labels"] == ["x"]


def test_runs_on_labels_shortens_a_value_of_aliases() -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9))
    with pytest.raises(AnsibleFilterError, match="In the job 'a': 'runs-on' is") as refused:
        FILTERS["runs_on_labels"](f"l0: &l0 [x]\n{levels}\njobs: {{a: {{runs-on: *l8}}}}\n")
    assert len(str(refused.value)) < 300


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
        ("runs_on_labels", "a: !!python/object:os.system {}", {}, "has no 'jobs'"),
        ("runs_on_labels", 'a: "\\UFFFFFFFF"', {}, "not valid YAML"),
        ("runs_on_labels", "jobs: {a: {runs-on: }}", {}, "In the job 'a': 'runs-on' names no label"),
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
