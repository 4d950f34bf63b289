"""Views of workflow jobs: times, machines, and the option since."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.workflow_runs import (
    check_since,
    is_hosted,
    job_view,
)

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
def test_job_view_has_seconds_queued_and_run(
    changed: dict[str, Any], queued: Optional[float], took: Optional[float]
) -> None:
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
def test_is_hosted_follows_group_then_labels(group: Optional[str], labels: list[str], hosted: bool) -> None:
    assert is_hosted({"runner_group_name": group, "labels": labels}) is hosted


@pytest.mark.parametrize("text", ["2026-11-21", "2026-11-21T12:00:00Z"])
def test_check_since_accepts_utc_date_and_time(text: str) -> None:
    assert check_since(text) == text


@pytest.mark.parametrize(
    "text", ["2026-13-01", "2026-11-21 12:00:00", "1 day", "2026-11-21T12:00:00+02:00", "7"]
)
def test_check_since_rejects_other_times(text: str) -> None:
    with pytest.raises(CiError, match="is no time"):
        check_since(text)
