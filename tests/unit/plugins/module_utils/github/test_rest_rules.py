"""The pure rules: values of variables, versions, times of jobs, permissions."""

from __future__ import annotations

import json
from typing import Any, Optional

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.client import (
    APP,
    JOBS,
    RUNNERS,
    VARIABLES,
    Answer,
    need,
    refusal,
)
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import (
    RunnerPackage,
    cheaper_by_name,
    newest_version,
    standing,
)
from ansible_collections.coldvox.ci.plugins.module_utils.github.scope import scope_of
from ansible_collections.coldvox.ci.plugins.module_utils.github.variables import (
    MOST_BYTES,
    same_value,
    value_text,
    variable_name,
)
from ansible_collections.coldvox.ci.plugins.module_utils.github.workflow_runs import (
    check_since,
    is_hosted,
    job_view,
)
from hypothesis import given
from hypothesis import strategies as st

REPOSITORY = scope_of("https://github.com/o/r")
ORGANIZATION = scope_of("https://github.com/o")
ENTERPRISE = scope_of("https://github.com/enterprises/e")
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
STRUCTURES = st.lists(TREES, max_size=4) | st.dictionaries(st.text(), TREES, max_size=4)


def encodable(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@given(STRUCTURES.filter(encodable))
def test_a_structure_survives_and_is_written_in_one_way(value: Any) -> None:
    text = value_text(value)
    assert json.loads(text) == value
    assert value_text(json.loads(text)) == text
    assert same_value(value, text)
    assert same_value(value, json.dumps(value, indent=3))
    assert not same_value([*value, "more"] if isinstance(value, list) else {**value, "new key": 1}, text)


@pytest.mark.parametrize(
    ("wanted", "stored", "same"),
    [
        ("1", "1", True),
        ("1", "1 ", False),
        ('{"a": 1}', '{"a":1}', False),
        ({"a": 1}, '{"a": 1}', True),
        ({"a": 1}, "not JSON", False),
        ([1], "NaN", False),
    ],
)
def test_when_a_stored_value_is_the_wanted_one(wanted: Any, stored: str, same: bool) -> None:
    assert same_value(wanted, stored) is same


def test_the_largest_value() -> None:
    assert len(value_text("ü" * (MOST_BYTES // 2)).encode()) == MOST_BYTES
    with pytest.raises(CiError, match="49153 bytes"):
        value_text("ü" * (MOST_BYTES // 2) + "x")


@pytest.mark.parametrize("value", [1, 1.5, True, None, {"a": float("nan")}, {"a": {1, 2}}])
def test_a_value_without_one_text_is_refused(value: Any) -> None:
    with pytest.raises(CiError, match="put it in quotes"):
        value_text(value)


@pytest.mark.parametrize("name", ["", "1A", "A-B", "github_x", "Ä", "A B", "A\n"])
def test_a_name_that_github_refuses(name: str) -> None:
    with pytest.raises(CiError, match="cannot be the name"):
        variable_name(name)


def test_a_name_is_kept_in_upper_case() -> None:
    assert variable_name("_runs_on2") == "_RUNS_ON2"


@pytest.mark.parametrize(
    ("version", "newest", "outdated", "behind"),
    [
        ("2.336.0", "2.336.0", False, 0),
        ("2.337.0", "2.336.0", False, 0),
        ("2.335.9", "2.336.0", True, 1),
        ("2.336.0", "2.336.2", True, 0),
        ("2.99.0", "2.336.0", True, 237),
        ("2.336.0", "3.1.0", True, 1),
        ("", "2.336.0", None, None),
        ("2.336.0", "", None, None),
        ("2.336", "2.336.0", None, None),
    ],
)
def test_how_a_version_stands(
    version: str, newest: str, outdated: Optional[bool], behind: Optional[int]
) -> None:
    assert standing(version, newest) == (outdated, behind)


def test_the_newest_of_the_packages() -> None:
    names = ["actions-runner-linux-x64-2.99.0.tar.gz", "actions-runner-win-x64-2.336.0.zip", "notes.txt"]
    assert newest_version([RunnerPackage("", "", "", name, None) for name in names]) == "2.336.0"
    assert newest_version([]) == ""


@given(st.integers(0, 1000), st.integers(0, 100))
def test_the_cheaper_way_never_takes_more_requests(names: int, pages_left: int) -> None:
    assert (names if cheaper_by_name(names, pages_left) else pages_left) == min(names, pages_left)


JOB = {
    "id": 1,
    "run_id": 2,
    "name": "build",
    "status": "completed",
    "conclusion": "success",
    "created_at": "2026-11-21T12:00:10Z",
    "started_at": "2026-11-21T12:00:05Z",
    "completed_at": "2026-11-21T12:01:00Z",
    "labels": ["x"],
    "runner_name": "laptop",
    "runner_group_name": "Default",
}


@pytest.mark.parametrize(
    ("changed", "queued", "took"),
    [
        ({}, 0.0, 55.0),
        ({"created_at": "2026-11-21T12:00:00Z"}, 5.0, 55.0),
        ({"status": "in_progress", "completed_at": None}, 0.0, None),
        ({"status": "queued", "completed_at": None}, None, None),
        ({"runner_name": None, "conclusion": "skipped"}, None, None),
        ({"started_at": "soon"}, None, None),
    ],
)
def test_the_times_of_a_job(changed: dict[str, Any], queued: Optional[float], took: Optional[float]) -> None:
    view = job_view({**JOB, **changed}, {"name": "CI", "event": "push"}, "o/r")
    assert (view["queued_seconds"], view["duration_seconds"]) == (queued, took)
    assert (view["workflow"], view["event"], view["run_attempt"]) == ("CI", "push", 1)


@pytest.mark.parametrize(
    ("group", "labels", "hosted"),
    [
        ("GitHub Actions", ["self-hosted"], True),
        ("Default Larger Runners", ["big"], True),
        ("Default", ["ubuntu-latest"], False),
        (None, ["Self-Hosted", "x"], False),
        ("", ["ubuntu-latest"], True),
    ],
)
def test_whose_machine_a_job_has(group: Optional[str], labels: list[str], hosted: bool) -> None:
    assert is_hosted({"runner_group_name": group, "labels": labels}) is hosted


@pytest.mark.parametrize("text", ["2026-11-21", "2026-11-21T12:00:00Z"])
def test_a_time_as_github_writes_it(text: str) -> None:
    assert check_since(text) == text


@pytest.mark.parametrize(
    "text", ["2026-13-01", "2026-11-21 12:00:00", "1 day", "2026-11-21T12:00:00+02:00", "7"]
)
def test_another_time_is_refused(text: str) -> None:
    with pytest.raises(CiError, match="is no time"):
        check_since(text)


@pytest.mark.parametrize(
    ("area", "scope", "level", "told"),
    [
        (RUNNERS, REPOSITORY, "read", ["'Administration: read'", "'repo'"]),
        (RUNNERS, ORGANIZATION, "write", ["'Self-hosted runners: write'", "'admin:org'"]),
        (RUNNERS, ENTERPRISE, "read", ["manage_runners:enterprise", "no App"]),
        (VARIABLES, REPOSITORY, "write", ["'Variables: write'", "'repo'"]),
        (VARIABLES, ORGANIZATION, "read", ["'Variables (organization): read'", "'admin:org'"]),
        (JOBS, REPOSITORY, "read", ["'Actions: read'", "'repo'"]),
        (APP, ORGANIZATION, "read", ["App installed"]),
    ],
)
def test_the_permission_that_a_call_takes(area: str, scope: Any, level: str, told: list[str]) -> None:
    needed = need(area, scope, level)
    assert all(word in needed for word in told), needed


def test_single_sign_on_is_named() -> None:
    answer = Answer(403, {"x-github-sso": "required; url=https://github.com/orgs/o/sso"}, b"{}")
    assert "single sign-on" in refusal(ORGANIZATION, "list the runners of", answer, "x")
