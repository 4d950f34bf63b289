"""What the hooks make of a job's environment, and which jobs they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.hooks.job import (
    Job,
    Policy,
    Usage,
    annotation,
    fork_refusal,
    job_of,
    read_policy,
    read_usage,
    record_name,
    unit_path,
    used_between,
)
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError

UNIT = "coldvox-runner@one.service"


def job(**changed: Any) -> Job:
    whole = Job("one", "a/b", "ci", "build", 7, 1, "push", "/e", "/w/b/b", "/w/_temp")
    return whole._replace(**changed)


def pull_request(head: Optional[str], base: str = "a/b") -> dict[str, Any]:
    source = None if head is None else {"full_name": head, "fork": True}
    return {"pull_request": {"head": {"repo": source}, "base": {"repo": {"full_name": base}}}}


@pytest.mark.parametrize(
    ("event", "payload", "refused"),
    [
        ("push", {}, False),
        ("push", None, False),
        ("workflow_dispatch", {"inputs": None}, False),
        ("pull_request", pull_request("a/b"), False),
        ("pull_request", pull_request("A/B"), False),
        ("pull_request", pull_request("evil/b"), True),
        ("pull_request_target", pull_request("evil/b"), True),
        ("pull_request_review", pull_request("evil/b"), True),
        ("some_later_event", pull_request("evil/b"), True),
        ("pull_request", pull_request(None), True),
        ("pull_request", {"pull_request": {"head": {"repo": {"full_name": "a/b"}}}}, False),
        ("pull_request", {"pull_request": "text"}, True),
        ("pull_request", {}, True),
        ("pull_request", None, True),
    ],
)
def test_fork_refusal_of_a_pull_request(event: str, payload: Optional[dict[str, Any]], refused: bool) -> None:
    assert bool(fork_refusal(job(event=event), payload)) is refused


def test_fork_refusal_names_source_and_remedy() -> None:
    refusal = fork_refusal(job(event="pull_request"), pull_request("evil/b"))
    assert "the fork evil/b" in refusal
    assert "GitHub-hosted" in refusal


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({}, "not a job of a runner"),
        ({"RUNNER_NAME": "one"}, "not a job of a runner"),
        ({"RUNNER_NAME": "one", "GITHUB_RUN_ID": "x"}, "not a job of a runner"),
        ({"RUNNER_NAME": "../one", "GITHUB_RUN_ID": "1"}, "cannot be used"),
    ],
)
def test_job_of_rejects_other_environments(environment: dict[str, str], complaint: str) -> None:
    with pytest.raises(CiError, match=complaint):
        job_of(environment)


def test_job_of_shortens_names_to_one_line() -> None:
    made = job_of({"RUNNER_NAME": "one", "GITHUB_RUN_ID": "7", "GITHUB_JOB": "a\nb\x1b[31m" + "c" * 999})
    assert made.name == "ab[31m" + "c" * 194
    assert (made.run_id, made.run_attempt) == (7, 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("build", "7-1-build-5.started.json"),
        ("../../etc/passwd", "7-1-..-..-etc-passwd-5.started.json"),
        ("a b\\c", "7-1-a-b-c-5.started.json"),
        ("", "7-1-job-5.started.json"),
        ("é" * 300, "7-1---5.started.json"),
    ],
)
def test_record_name_stays_in_its_directory(name: str, expected: str) -> None:
    assert record_name(job(name=name), 5, "started") == expected


def test_annotation_is_one_line() -> None:
    assert annotation("50 %\n::stop::") == "::warning title=coldvox.ci::50 %25%0A::stop::"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (f"0::/ci.slice/{UNIT}\n", f"/ci.slice/{UNIT}"),
        (f"1:name=systemd:/x\n0::/ci.slice/{UNIT}/job/x\n", f"/ci.slice/{UNIT}"),
        ("0::/user.slice\n", ""),
        (f"4:memory:/ci.slice/{UNIT}\n", ""),
        ("", ""),
    ],
)
def test_unit_path_ends_at_the_unit(text: str, path: str) -> None:
    assert unit_path(text) == path


def test_read_usage_reads_the_files_of_the_kernel(tmp_path: Path) -> None:
    group = tmp_path / "tree" / "ci.slice" / UNIT
    group.mkdir(parents=True)
    (tmp_path / "cgroup").write_text(f"0::/ci.slice/{UNIT}/inner\n")
    assert read_usage(str(tmp_path), str(tmp_path / "tree")) == Usage()
    (group / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (group / "memory.peak").write_text("4096\n")
    assert read_usage(str(tmp_path), str(tmp_path / "tree")) == Usage(2.5, 4096)


@pytest.mark.parametrize(
    ("before", "after", "used"),
    [
        (Usage(1.0, 10), Usage(3.5, 20), Usage(2.5, 20)),
        (Usage(1.0, 20), Usage(1.0, 20), Usage(0.0, None)),
        (Usage(None, None), Usage(3.5, 20), Usage(None, 20)),
        (Usage(9.0, 10), Usage(1.0, None), Usage(0.0, None)),
        (Usage(), Usage(), Usage()),
    ],
)
def test_used_between_subtracts_the_start(before: Usage, after: Usage, used: Usage) -> None:
    assert used_between(before, after) == used


@pytest.mark.parametrize(
    ("data", "policy"),
    [
        ({}, Policy()),
        ({"refuse_forks": False, "models": ["m"]}, Policy(False, True, ("m",))),
        ({"models": [], "clean_workspace": False, "later": 1}, Policy(True, False, ())),
    ],
)
def test_read_policy_reads_the_file(tmp_path: Path, data: dict[str, Any], policy: Policy) -> None:
    (tmp_path / "hooks.json").write_text(json.dumps(data))
    assert read_policy(str(tmp_path)) == policy


@pytest.mark.parametrize("text", ["", "[]", '{"models": "m"}', '{"refuse_forks": "no"}', "{"])
def test_read_policy_reports_a_broken_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "hooks.json").write_text(text)
    with pytest.raises(CiError, match=r"hooks\.json cannot be used"):
        read_policy(str(tmp_path))


def test_read_policy_without_a_file_has_defaults(tmp_path: Path) -> None:
    assert read_policy(str(tmp_path)) == Policy(refuse_forks=True, clean_workspace=True, models=None)
