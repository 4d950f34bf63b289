"""Checks of hook records, of GitHub's jobs and of the older JSON history."""

from __future__ import annotations

import math
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.jobs import (
    RecordError,
    checked,
    clean,
    decode,
    hosted_job,
    moment,
)
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.json_history import sums_of
from ansible_collections.coldvox.ci.plugins.module_utils.health.dispatch import JobSums
from hypothesis import given
from hypothesis import strategies as st

from tests._support.job_records import NOON, ended, hosted, record

HOSTILE = [
    "two\nlines",
    "red \x1b[31m",
    "title \x1b]0;x\x07",
    "back\x08\x08",
    "bidi \u202e",
    "lone \ud800",
    "nul \x00",
    "\x9b31m",
    "\u2028",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_clean_replaces_control_characters(text: str) -> None:
    assert clean(text).isprintable()
    assert "\N{REPLACEMENT CHARACTER}" in clean(text)


@given(st.text(max_size=400) | st.integers() | st.none())
def test_clean_returns_a_short_printable_line_for_any_text(value: Any) -> None:
    text = clean(value)
    assert text.isprintable()
    assert len(text) <= 200
    text.encode()
    assert clean(text) == text


def test_clean_keeps_ordinary_names_and_cuts_long_ones() -> None:
    assert clean("Bau 🚀 größer (x, y)") == "Bau 🚀 größer (x, y)"
    assert clean("x" * 10_000) == "x" * 199 + "…"
    assert clean("x" * 200) == "x" * 200


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"event": "queued"}, "'event' is neither started nor completed"),
        ({"event": ["started"]}, "'event'"),
        ({"instance": ""}, "'instance' is missing"),
        ({"instance": 3}, "'instance' is no text"),
        ({"job": None}, "'job' is missing"),
        ({"run_id": None}, "'run_id' is missing"),
        ({"run_id": "7"}, "'run_id' is no whole number"),
        ({"run_id": True}, "'run_id' is no whole number"),
        ({"run_id": -1}, "'run_id' is no whole number"),
        ({"run_id": 2**63}, "'run_id' is no whole number"),
        ({"run_id": 7.0}, "'run_id' is no whole number"),
        ({"at": None}, "'at' is missing"),
        ({"at": "now"}, "'at' is no number"),
        ({"at": -1}, "'at' is no number"),
        ({"at": 1e300}, "'at' is no number"),
        ({"at": math.nan}, "'at' is no number"),
        ({"at": 10**400}, "'at' is no number"),
        ({"cpu_seconds": math.inf}, "'cpu_seconds' is no number"),
        ({"peak_memory_bytes": 1.5}, "'peak_memory_bytes' is no whole number"),
        ({"repository": {}}, "'repository' is no text"),
        ({"result": []}, "'result' is no text"),
    ],
)
def test_checked_names_the_wrong_field_of_a_record(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        checked(record(**fields))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3
)


@given(
    st.dictionaries(st.sampled_from([*record(), "result", "class", "queued_at", "cache_hits"]), json_values)
)
def test_checked_accepts_or_refuses_any_record(fields: dict[str, Any]) -> None:
    try:
        event = checked({**record(), **fields})
    except RecordError:
        return
    assert all(part == part for part in event), "a value that is no number"
    assert event.instance
    assert event.job


@pytest.mark.parametrize(
    ("result", "known"),
    [
        ("success", "success"),
        ("failure", "failure"),
        ("lost", ""),
        ("SUCCESS", ""),
        ("'; DROP", ""),
        ("", ""),
    ],
)
def test_checked_accepts_only_githubs_results(result: str, known: str) -> None:
    assert checked(ended(result=result)).result == known


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"3", b'{"at": NaN}', b"\xff", b"[" * 60_000, b'{"a":' * 30_000, b"null"]
)
def test_decode_refuses_text_that_is_no_json_object(text: bytes) -> None:
    with pytest.raises(RecordError, match="it is no"):
        decode(text)


def test_hosted_job_has_the_fields_that_github_reports() -> None:
    job = hosted_job(hosted())
    assert job is not None
    assert (job.kind, job.instance, job.job, job.result) == (
        "cloud",
        "GitHub Actions 3",
        "build",
        "success",
    )
    assert (job.queued_at, job.started_at, job.completed_at) == (NOON - 5, NOON, NOON + 300)
    assert job.duration_seconds == 300


@pytest.mark.parametrize("fields", [{"result": None}, {"result": ""}, {"started_at": None}])
def test_hosted_job_leaves_out_a_job_that_has_not_ended(fields: dict[str, Any]) -> None:
    assert hosted_job(hosted(**fields)) is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (3, "a job is no object"),
        (hosted(hosted=None), "'hosted' is missing"),
        (hosted(run_id=None), "'run_id' is missing"),
        (hosted(name=""), "'name' is missing"),
        (hosted(duration_seconds=-3), "'duration_seconds' is no number"),
        (hosted(started_at="yesterday"), "'yesterday' is no time like"),
    ],
)
def test_hosted_job_refuses_a_row_that_is_no_job(row: Any, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        hosted_job(row)


@pytest.mark.parametrize(
    ("text", "at"),
    [("2026-01-15T08:00:00Z", NOON), ("1970-01-01T00:00:00Z", 0.0), ("", None), (None, None)],
)
def test_moment_is_utc(text: Any, at: float | None) -> None:
    assert moment(text) == at


SUMS = {
    "total_runs": 10,
    "successful_runs": 9,
    "total_duration": 3000,
    "success_rate": 90,
    "avg_duration": 300,
    "last_updated": "2026-01-15T08:00:00Z",
}


def test_sums_of_json_history_are_its_totals() -> None:
    every = sums_of({"build": {"self_hosted": SUMS, "cloud": {**SUMS, "last_updated": NOON}}})
    assert every == [
        JobSums("build", "self_hosted", 10, 9, 3000.0, 10, NOON),
        JobSums("build", "cloud", 10, 9, 3000.0, 10, NOON),
    ]
    assert (every[0].success_rate, every[0].avg_duration) == (90.0, 300.0)


# What ColdVox's own script writes to /tmp/job-history-JOB.json, where each kind begins with invented rates.
INVENTED = {**dict.fromkeys(("total_runs", "successful_runs", "total_duration"), 0), "success_rate": 95}
OWN = {"self_hosted": {**SUMS, "avg_duration": 333.3333333, "last_updated": 1757577600}, "cloud": INVENTED}


@pytest.mark.parametrize(
    ("job", "source"),
    [("build_and_check", "/tmp/x.json"), ("", "/tmp/job-history-build_and_check.json")],
)
def test_sums_of_the_users_own_file_are_those_of_its_job(job: str, source: str) -> None:
    assert sums_of(OWN, job, source) == [
        JobSums("build_and_check", "self_hosted", 10, 9, 3000.0, 10, 1757577600.0)
    ]


def test_sums_of_a_file_without_the_jobs_name_ask_for_it() -> None:
    with pytest.raises(RecordError, match="it is of one job; name it: runnerctl history JOB --import FILE"):
        sums_of(OWN, "", "/srv/history.json")


def test_sums_of_jobs_that_are_called_like_a_kind() -> None:
    assert [sums.job for sums in sums_of({"cloud": {"cloud": SUMS}})] == ["cloud"]


def test_sums_without_runs_are_left_out() -> None:
    assert sums_of({"x": {"cloud": {"total_runs": 0, "successful_runs": 0, "total_duration": 0}}}) == []


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"build": 3}, "'build' has other entries"),
        ({"build": {"local": SUMS}}, "'build' has other entries than self_hosted and cloud"),
        ({"build": {"cloud": None}}, "'build' on cloud: it is no object"),
        ({"build": {"cloud": {}}}, "it needs total_runs"),
        (
            {"build": {"cloud": {**SUMS, "successful_runs": 11}}},
            "it needs total_runs, successful_runs of them",
        ),
        ({"build": {"cloud": {**SUMS, "total_duration": "long"}}}, "'total_duration' is no number"),
        ({"build": {"cloud": {**SUMS, "last_updated": "noon"}}}, "'noon' is no time"),
    ],
)
def test_sums_of_a_wrong_json_history_name_the_entry(document: Any, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        sums_of(document)
