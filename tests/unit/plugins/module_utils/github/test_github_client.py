"""The client with a scripted server: requests, waiting times, error messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Optional, Union

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.client import (
    APP,
    JOBS,
    RUNNERS,
    VARIABLES,
    Answer,
    Client,
    Patience,
    UnreachableError,
    permission_needed,
    refusal_message,
    retry_delay_seconds,
)
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import Runners
from ansible_collections.coldvox.ci.plugins.module_utils.github.scope import scope_of

Scripted = Union[Answer, UnreachableError]
REPOSITORY = scope_of("https://github.com/o/r")
ORGANIZATION = scope_of("https://github.com/o")
ENTERPRISE = scope_of("https://github.com/enterprises/e")
NOW = 1_700_000_000.0


def answer(status: int, body: Any = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, b"" if body is None else json.dumps(body).encode())


class Server:
    """A server with a list of answers; it records requests and the client's sleeps."""

    def __init__(self, *answers: Scripted) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, str, Optional[bytes]]] = []
        self.headers: list[Mapping[str, str]] = []
        self.slept: list[float] = []

    def __call__(self, method: str, url: str, headers: Mapping[str, str], body: Optional[bytes]) -> Answer:
        self.requests.append((method, url, body))
        self.headers.append(headers)
        scripted = self.answers.pop(0)
        if isinstance(scripted, UnreachableError):
            raise scripted
        return scripted

    def client(self, url: str = "https://github.com/o/r", **patience: Any) -> Client:
        bound = Patience(sleep=self.slept.append, now=lambda: NOW, **patience)
        return Client(self, scope_of(url), lambda: "Bearer s3cret", bound)


def runner(name: str, number: int = 1, **extra: Any) -> dict[str, Any]:
    return {"id": number, "name": name, "status": "online", "busy": False, "labels": [], **extra}


def page(runners: list[dict[str, Any]], total: int) -> Answer:
    return answer(200, {"total_count": total, "runners": runners})


def test_find_needs_one_page_for_the_whole_pool() -> None:
    labels = [{"name": "Linux", "type": "read-only"}, {"name": "nobara", "type": "custom"}]
    server = Server(page([runner("A", labels=labels), runner("other", 2)], 2))
    registered = Runners(server.client()).find(["a", "b"])
    assert list(registered) == ["a"]
    assert registered["a"].labels == ("Linux", "nobara")
    assert registered["a"].custom_labels == ("nobara",)
    assert server.requests == [
        ("GET", "https://api.github.com/repos/o/r/actions/runners?per_page=100&page=1", None)
    ]
    assert server.headers[0]["Authorization"] == "Bearer s3cret"


def test_find_sends_no_request_for_an_empty_pool() -> None:
    assert Runners(Server().client()).find([]) == {}


def test_find_requests_pages_until_it_has_all_names() -> None:
    first = page([runner(f"x{i}", i) for i in range(100)], 250)
    server = Server(first, page([runner("a", 500)], 250), page([runner("B", 501)], 250))
    registered = Runners(server.client()).find(["a", "b"])
    assert {key: runner.id for key, runner in registered.items()} == {"a": 500, "b": 501}
    assert [request[1][-6:] for request in server.requests] == ["page=1", "page=2", "page=3"]


def test_find_requests_names_after_the_first_page_of_a_large_fleet() -> None:
    first = page([runner(f"x{i}", i) for i in range(100)], 5000)
    server = Server(first, page([runner("b", 7), runner("bb", 8)], 2), page([runner("c", 9)], 1))
    registered = Runners(server.client()).find(["x3", "b", "c"])
    assert {key: runner.id for key, runner in registered.items()} == {"x3": 3, "b": 7, "c": 9}
    assert [request[1].rpartition("?")[2] for request in server.requests[1:]] == [
        "per_page=100&page=1&name=b",
        "per_page=100&page=1&name=c",
    ]


def test_find_searches_pages_for_a_name_in_another_case() -> None:
    first = page([runner(f"x{i}", i) for i in range(100)], 350)
    server = Server(first, page([], 0), page([runner("y", 5)], 350), page([runner("C", 9)], 350))
    assert Runners(server.client()).find(["c"])["c"].id == 9
    assert [request[1].rpartition("?")[2] for request in server.requests] == [
        "per_page=100&page=1",
        "per_page=100&page=1&name=c",
        "per_page=100&page=2",
        "per_page=100&page=3",
    ]


def test_set_labels_returns_all_labels() -> None:
    labels = [{"name": "Linux", "type": "read-only"}, {"name": "new", "type": "custom"}]
    server = Server(page([runner("a", 9)], 1), answer(200, {"total_count": 2, "labels": labels}))
    runners = Runners(server.client("https://ghes.example/org"))
    assert runners.set_labels(runners.find(["a"])["a"], ["new"]) == ("Linux", "new")
    method, url, body = server.requests[1]
    assert (method, url) == ("PUT", "https://ghes.example/api/v3/orgs/org/actions/runners/9/labels")
    assert json.loads(body or b"") == {"labels": ["new"]}


def test_delete_accepts_a_missing_runner() -> None:
    server = Server(page([runner("a", 9)], 1), answer(404, {"message": "Not Found"}))
    runners = Runners(server.client())
    runners.delete(runners.find(["a"])["a"])
    assert server.requests[1][:2] == ("DELETE", "https://api.github.com/repos/o/r/actions/runners/9")


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        (answer(403, retry_after="7"), 7.0),
        (answer(429, retry_after="0"), 0.0),
        (answer(429), 60.0),
        (answer(403, x_ratelimit_remaining="0", x_ratelimit_reset=str(NOW + 12)), 12.0),
        (answer(403, x_ratelimit_remaining="0", x_ratelimit_reset=str(NOW - 5)), 1.0),
        (answer(403, x_ratelimit_remaining="12"), None),
        (answer(503, retry_after="3"), 3.0),
        (answer(502), 4.0),
        (answer(404), None),
        (answer(422), None),
        (answer(401), None),
        (None, 4.0),
    ],
)
def test_retry_delay_seconds_follows_status_and_headers(
    refused: Optional[Answer], expected: Optional[float]
) -> None:
    assert retry_delay_seconds(refused, 2, NOW) == expected


def test_client_retries_after_errors() -> None:
    good = answer(201, {"token": "T", "expires_at": "soon"})
    server = Server(UnreachableError("reset"), answer(502), answer(403, retry_after="5"), good)
    assert Runners(server.client()).registration_token() == "T"
    assert server.slept == [1.0, 2.0, 5.0]


def test_client_does_not_wait_longer_than_its_patience() -> None:
    limited = answer(403, x_ratelimit_remaining="0", x_ratelimit_reset=str(NOW + 3000))
    server = Server(limited)
    with pytest.raises(CiError, match=r"HTTP 403.*rate limit"):
        Runners(server.client()).find(["a"])
    assert server.slept == []


def test_client_stops_after_its_attempts() -> None:
    server = Server(*[answer(500)] * 9)
    with pytest.raises(CiError, match=r"HTTP 500.*3 attempts"):
        Runners(server.client(attempts=3)).find(["a"])
    assert len(server.requests) == 3


def test_client_error_names_the_unreachable_server() -> None:
    server = Server(*[UnreachableError("[Errno 111] Connection refused")] * 2)
    with pytest.raises(CiError) as refused:
        Runners(server.client("http://ghes.example:81/o/r", attempts=2)).find(["a"])
    assert "http://ghes.example:81/api/v3" in str(refused.value)
    assert "Connection refused" in str(refused.value)


@pytest.mark.parametrize(
    ("url", "status", "words"),
    [
        ("https://github.com/o/r", 401, ["repository o/r", "401", "expired", "Administration: read"]),
        ("https://github.com/o/r", 403, ["403", "lacks the permission", "no access here"]),
        ("https://github.com/o", 403, ["organization o", "Self-hosted runners: read", "admin:org"]),
        ("https://github.com/o/r", 404, ["404", "does not exist", "check the url"]),
        ("https://github.com/enterprises/e", 403, ["enterprise e", "manage_runners:enterprise"]),
        ("https://github.com/o/r", 422, ["422", "not valid", "no access here"]),
    ],
)
def test_refusal_message_is_a_sentence_without_the_secret(url: str, status: int, words: list[str]) -> None:
    server = Server(answer(status, {"message": "no access here."}))
    with pytest.raises(CiError) as refused:
        Runners(server.client(url)).find(["a"])
    message = str(refused.value)
    assert all(word in message for word in words), message
    assert message.endswith(".")
    assert "\n" not in message
    assert "s3cret" not in message
    assert refused.value.details == {"status": status}


def test_client_explains_an_answer_that_is_not_json() -> None:
    server = Server(Answer(200, {}, b"<html>log in</html>"))
    with pytest.raises(CiError, match="not JSON"):
        Runners(server.client()).find(["a"])


@pytest.mark.parametrize(
    ("area", "scope", "level", "words"),
    [
        (RUNNERS, REPOSITORY, "read", ["'Administration: read'", "'repo'"]),
        (RUNNERS, ORGANIZATION, "read and write", ["'Self-hosted runners: read and write'", "'admin:org'"]),
        (RUNNERS, ENTERPRISE, "read", ["manage_runners:enterprise", "no App"]),
        (VARIABLES, REPOSITORY, "read and write", ["'Variables: read and write'", "'repo'"]),
        (VARIABLES, ORGANIZATION, "read", ["'Variables (organization): read'", "'admin:org'"]),
        (JOBS, REPOSITORY, "read", ["'Actions: read'", "'repo'"]),
        (APP, ORGANIZATION, "read", ["App installed"]),
    ],
)
def test_permission_needed_by_area_and_scope(area: str, scope: Any, level: str, words: list[str]) -> None:
    needed = permission_needed(area, scope, level)
    assert all(word in needed for word in words), needed


def test_refusal_message_names_single_sign_on() -> None:
    answer = Answer(403, {"x-github-sso": "required; url=https://github.com/orgs/o/sso"}, b"{}")
    assert "single sign-on" in refusal_message(ORGANIZATION, "list the runners of", answer, "x")
