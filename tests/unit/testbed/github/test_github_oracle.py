"""Every operation of the emulator, checked against GitHub's description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testbed.github.api import OPERATIONS, operations
from testbed.github.rest import runners
from testbed.github.rest.call import Router
from testbed.github.server import Running, emulator
from testbed.github.state import Runner
from tests._support.rest_client import ENTERPRISE, ORGANIZATION, REPOSITORY, Rest

JIT = {"name": "a", "runner_group_id": 1, "labels": ["self-hosted", "fast"]}
VARIABLE = {"name": "COLOUR", "value": "blue"}
SHARED = {**VARIABLE, "visibility": "all"}


def _runner_calls(scope: str) -> list[tuple[str, str, Any, int]]:
    base = f"{scope}/actions/runners"
    return [
        ("POST", f"{base}/registration-token", None, 201),
        ("POST", f"{base}/remove-token", None, 201),
        ("POST", f"{base}/generate-jitconfig", JIT, 201),
        ("GET", base, None, 200),
        ("GET", f"{base}/downloads", None, 200),
        ("GET", f"{base}/deprecations/2.300.0", None, 200),
        ("GET", f"{base}/{{id}}", None, 200),
        ("GET", f"{base}/{{id}}/labels", None, 200),
        ("POST", f"{base}/{{id}}/labels", {"labels": ["x"]}, 200),
        ("PUT", f"{base}/{{id}}/labels", {"labels": ["y", "z"]}, 200),
        ("DELETE", f"{base}/{{id}}/labels/Y", None, 200),
        ("DELETE", f"{base}/{{id}}/labels", None, 200),
        ("DELETE", f"{base}/{{id}}", None, 204),
    ]


def _variable_calls(scope: str, body: dict[str, str]) -> list[tuple[str, str, Any, int]]:
    base = f"{scope}/actions/variables"
    return [
        ("POST", base, body, 201),
        ("GET", base, None, 200),
        ("GET", f"{base}/colour", None, 200),
        ("PATCH", f"{base}/COLOUR", {"value": "red"}, 204),
        ("DELETE", f"{base}/COLOUR", None, 204),
    ]


def _group_calls(scope: str) -> list[tuple[str, str, Any, int]]:
    base = f"{scope}/actions/runner-groups"
    return [
        ("POST", base, {"name": "builders"}, 201),
        ("GET", base, None, 200),
        ("GET", f"{base}/{{group}}", None, 200),
        ("DELETE", f"{base}/{{group}}", None, 204),
    ]


CALLS = [
    ("GET", REPOSITORY, None, 200),
    ("GET", "/meta", None, 200),
    ("GET", "/rate_limit", None, 200),
    *_runner_calls(REPOSITORY),
    *_runner_calls(ORGANIZATION),
    *_runner_calls(ENTERPRISE),
    *_variable_calls(REPOSITORY, VARIABLE),
    *_variable_calls(ORGANIZATION, SHARED),
    *_group_calls(ORGANIZATION),
    *_group_calls(ENTERPRISE),
    ("GET", f"{REPOSITORY}/actions/runs", None, 200),
    ("GET", f"{REPOSITORY}/actions/runs/{{run}}", None, 200),
    ("GET", f"{REPOSITORY}/actions/runs/{{run}}/jobs", None, 200),
    ("GET", f"{REPOSITORY}/actions/jobs/{{job}}", None, 200),
]
# Apps sign their calls; test_github_apps.py makes them.
APP_OPERATIONS = {operation.path for operation in OPERATIONS if operation.access == "app"}


def test_operations_answer_as_github_describes(rest: Rest) -> None:
    rest.server.emulator.state.support_ends["2.300.0"] = "2026-09-01T00:00:00Z"
    job = rest.server.admin.queue_job(["fast"], "true")
    numbers = {"job": job, "run": rest.server.admin.job(job)["run_id"]}
    router, covered = Router(OPERATIONS), set()
    for method, template, body, status in CALLS:
        path = template.format(**numbers)
        reply = rest(method, path, body)
        assert reply.status == status, (method, path, reply)
        if template.endswith("jitconfig"):
            numbers["id"] = reply.body["runner"]["id"]
        if method == "POST" and template.endswith("/runner-groups"):
            numbers["group"] = reply.body["id"]
        match = router.find(method, path)
        assert match is not None
        covered.add((method, match[0].path))
    assert covered == {each for each in operations() if each[1] not in APP_OPERATIONS}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"runner_group_id": 1, "labels": ["x"]}, '"name" wasn\'t supplied.'),
        ({**JIT, "labels": "x"}, "For 'properties/labels', \"x\" is not an array."),
        ({**JIT, "labels": []}, "For 'properties/labels'"),
        ({**JIT, "runner_group_id": "1"}, "For 'properties/runner_group_id', \"1\" is not an integer."),
    ],
)
def test_request_that_violates_the_description_gets_422(
    rest: Rest, body: dict[str, Any], message: str
) -> None:
    reply = rest("POST", f"{REPOSITORY}/actions/runners/generate-jitconfig", body)
    assert reply.status == 422
    assert message in reply.body["message"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [(b"{bad", "Problems parsing JSON"), (b"[1]", "Body should be a JSON object")],
)
def test_request_body_that_is_no_json_object_gets_400(rest: Rest, raw: bytes, message: str) -> None:
    reply = rest("POST", f"{REPOSITORY}/actions/variables", raw=raw)
    assert (reply.status, reply.body["message"]) == (400, message)


def test_emulator_turns_a_wrong_answer_into_500_and_fails_the_test(
    description: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = runners._render_runner

    def forgetful(runner: Runner) -> dict[str, Any]:
        rendered = honest(runner)
        del rendered["busy"]
        return rendered

    monkeypatch.setattr(runners, "_render_runner", forgetful)

    def provoke(running: Running) -> None:
        rest = Rest(running)
        body = {"name": "a", "runner_group_id": 1, "labels": ["x"]}
        reply = rest("POST", f"{REPOSITORY}/actions/runners/generate-jitconfig", body)
        assert reply.status == 500
        assert "violates spec" in reply.body["message"]
        assert running.admin.health()["violations"] == 1

    with pytest.raises(AssertionError, match='"busy" wasn'), emulator(description) as running:
        provoke(running)


def test_emulator_crash_is_no_answer_of_github(description: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "_render_label", None)
    with pytest.raises(AssertionError, match="failed with TypeError"), emulator(description) as running:
        Rest(running)("POST", f"{REPOSITORY}/actions/runners/generate-jitconfig", JIT)
