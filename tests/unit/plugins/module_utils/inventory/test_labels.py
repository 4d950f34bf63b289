from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.inventory.labels import job_labels, matching_runners
from hypothesis import given
from hypothesis import strategies as st

LAPTOP: dict[str, Any] = {"name": "laptop", "labels": ["self-hosted", "Linux", "X64", "nobara"]}
ARM: dict[str, Any] = {
    "name": "arm",
    "labels": [{"id": 1, "name": "self-hosted", "type": "read-only"}, {"name": "Linux"}, {"name": "ARM64"}],
    "group": "Edge",
}
BOTH = [LAPTOP, ARM]


@pytest.mark.parametrize(
    ("runs_on", "names"),
    [
        ("self-hosted", ["laptop", "arm"]),
        ("SELF-HOSTED", ["laptop", "arm"]),
        (["self-hosted", "linux", "arm64"], ["arm"]),
        (["self-hosted", "NOBARA", "nobara"], ["laptop"]),
        ("ubuntu-24.04-arm64-4core", []),
        (["X64", "ARM64"], []),
        ({"labels": "nobara"}, ["laptop"]),
        ({"group": "edge"}, ["arm"]),
        ({"group": "edge", "labels": ["x64"]}, []),
        ({"group": "other"}, []),
    ],
)
def test_matching_runners_need_all_labels_in_any_case(runs_on: Any, names: list[str]) -> None:
    assert [runner["name"] for runner in matching_runners(runs_on, BOTH)] == names


labels = st.lists(st.sampled_from(["a", "A", "b", "B", "c", "ä"]), min_size=1)


@given(labels, st.lists(st.fixed_dictionaries({"labels": labels})))
def test_matching_runners_is_the_subset_in_order(asked: Any, runners: Any) -> None:
    expected = [
        runner for runner in runners if {x.upper() for x in asked} <= {x.upper() for x in runner["labels"]}
    ]
    assert matching_runners(asked, runners) == expected


@given(labels, labels, st.lists(st.fixed_dictionaries({"labels": labels})))
def test_matching_runners_with_more_labels_are_not_more(asked: Any, more: Any, runners: Any) -> None:
    found = matching_runners(asked, runners)
    assert all(runner in found for runner in matching_runners([*asked, *more], runners))


@pytest.mark.parametrize(
    ("runs_on", "message"),
    [
        ("${{ matrix.os }}", r"expression '\$\{\{ matrix.os \}\}', which only a run can evaluate"),
        ([], "no label and no group"),
        ("", "no label and no group"),
        ({}, "as a dictionary it has group and labels"),
        ({"label": "x"}, "as a dictionary it has group and labels"),
        (None, "'runs-on' is None; give a label"),
        ([1], r"'runs-on' is \[1\]; give a label"),
        ({"group": 3}, "give a label"),
    ],
)
def test_matching_runners_refuses_a_bad_runs_on(runs_on: Any, message: str) -> None:
    with pytest.raises(CiError, match=message):
        matching_runners(runs_on, BOTH)


@pytest.mark.parametrize("runner", [None, {}, {"labels": "self-hosted"}, {"labels": [3]}, {"labels": [{}]}])
def test_matching_runners_refuses_a_bad_runner(runner: Any) -> None:
    with pytest.raises(CiError, match="A runner "):
        matching_runners("x", [runner])


def test_job_labels_lists_every_job() -> None:
    workflow = {
        "jobs": {
            "lint": {"runs-on": "ubuntu-latest"},
            "build": {"runs-on": ["self-hosted", "Linux", "linux", "${{ matrix.arch }}"]},
            "deploy": {"runs-on": {"group": "${{ vars.GROUP }}", "labels": "X64"}},
            "test": {"uses": "./.github/workflows/test.yml"},
        }
    }
    assert job_labels(workflow) == [
        {"job": "lint", "labels": ["ubuntu-latest"], "group": "", "unknown": [], "uses": ""},
        {
            "job": "build",
            "labels": ["self-hosted", "Linux"],
            "group": "",
            "unknown": ["${{ matrix.arch }}"],
            "uses": "",
        },
        {"job": "deploy", "labels": ["X64"], "group": "", "unknown": ["${{ vars.GROUP }}"], "uses": ""},
        {"job": "test", "labels": [], "group": "", "unknown": [], "uses": "./.github/workflows/test.yml"},
    ]


@pytest.mark.parametrize(
    ("workflow", "message"),
    [
        (None, "no workflow, because it has no 'jobs'"),
        ({"jobs": []}, "no workflow"),
        ({"jobs": {"a": None}}, "job 'a' has neither"),
        ({"jobs": {"a": {"steps": []}}}, "job 'a' has neither"),
        ({"jobs": {"a": {"runs-on": 3}}}, "In the job 'a': 'runs-on' is 3"),
    ],
)
def test_job_labels_refuses_a_text_without_jobs(workflow: Any, message: str) -> None:
    with pytest.raises(CiError, match=message):
        job_labels(workflow)
