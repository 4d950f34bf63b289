"""The client against a scripted server: what it sends, when it waits, and what it says when it is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Optional, Union

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.client import (
    Answer,
    Client,
    Patience,
    UnreachableError,
    retry_delay_seconds,
)
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import Runners
from ansible_collections.coldvox.ci.plugins.module_utils.github.scope import scope_of

Scripted = Union[Answer, UnreachableError]
NOW = 1_700_000_000.0


def answer(status: int, body: Any = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, b"" if body is None else json.dumps(body).encode())


class Server:
    """Answers from a list and remembers what it was asked and how long the client slept."""

    def __init__(self, *answers: Scripted) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, str, Optional[bytes]]] = []
        self.headers: list[Mapping[str, str]] = []
        self.slept: list[float] = []

    def __call__(self, method: str, url: str, headers: Mapping[str, str], body: Optional[bytes]) -> Answer:
        self.requests.append((method, url, body))
        self.headers.append(headers)
        found = self.answers.pop(0)
        if isinstance(found, UnreachableError):
            raise found
        return found

    def client(self, url: str = "https://github.com/o/r", **patience: Any) -> Client:
        bound = Patience(sleep=self.slept.append, now=lambda: NOW, **patience)
        return Client(self, scope_of(url), lambda: "Bearer s3cret", bound)


def runner(name: str, number: int = 1, **extra: Any) -> dict[str, Any]:
    return {"id": number, "name": name, "status": "online", "busy": False, "labels": [], **extra}


def page(runners: list[dict[str, Any]], total: int) -> Answer:
    return answer(200, {"total_count": total, "runners": runners})


def test_one_page_answers_for_the_whole_pool() -> None:
    labels = [{"name": "Linux", "type": "read-only"}, {"name": "nobara", "type": "custom"}]
    server = Server(page([runner("A", labels=labels), runner("other", 2)], 2))
    found = Runners(server.client()).find(["a", "b"])
    assert list(found) == ["a"]
    assert found["a"].labels == ("Linux", "nobara")
    assert found["a"].custom_labels == ("nobara",)
    assert server.requests == [
        ("GET", "https://api.github.com/repos/o/r/actions/runners?per_page=100&page=1", None)
    ]
    assert server.headers[0]["Authorization"] == "Bearer s3cret"


def test_nothing_is_asked_for_an_empty_pool() -> None:
    assert Runners(Server().client()).find([]) == {}


def test_pages_are_turned_until_all_are_found() -> None:
    first = page([runner(f"x{i}", i) for i in range(100)], 250)
    server = Server(first, page([runner("a", 500)], 250), page([runner("B", 501)], 250))
    found = Runners(server.client()).find(["a", "b"])
    assert {key: one.id for key, one in found.items()} == {"a": 500, "b": 501}
    assert [request[1][-6:] for request in server.requests] == ["page=1", "page=2", "page=3"]


def test_a_large_fleet_is_asked_by_name_after_the_first_page() -> None:
    first = page([runner(f"x{i}", i) for i in range(100)], 5000)
    server = Server(first, page([runner("b", 7), runner("bb", 8)], 2), page([runner("c", 9)], 1))
    found = Runners(server.client()).find(["x3", "b", "c"])
    assert {key: one.id for key, one in found.items()} == {"x3": 3, "b": 7, "c": 9}
    assert [request[1].rpartition("?")[2] for request in server.requests[1:]] == [
        "per_page=100&page=1&name=b",
        "per_page=100&page=1&name=c",
    ]


def test_a_name_in_another_case_is_found_on_the_pages() -> None:
    first = page([runner(f"x{i}", i) for i in range(100)], 350)
    server = Server(first, page([], 0), page([runner("y", 5)], 350), page([runner("C", 9)], 350))
    assert Runners(server.client()).find(["c"])["c"].id == 9
    assert [request[1].rpartition("?")[2] for request in server.requests] == [
        "per_page=100&page=1",
        "per_page=100&page=1&name=c",
        "per_page=100&page=2",
        "per_page=100&page=3",
    ]


def test_labels_are_put_and_all_labels_come_back() -> None:
    labels = [{"name": "Linux", "type": "read-only"}, {"name": "new", "type": "custom"}]
    server = Server(page([runner("a", 9)], 1), answer(200, {"total_count": 2, "labels": labels}))
    runners = Runners(server.client("https://ghes.example/org"))
    assert runners.set_labels(runners.find(["a"])["a"], ["new"]) == ("Linux", "new")
    method, url, body = server.requests[1]
    assert (method, url) == ("PUT", "https://ghes.example/api/v3/orgs/org/actions/runners/9/labels")
    assert json.loads(body or b"") == {"labels": ["new"]}


def test_deleting_what_is_gone_is_no_error() -> None:
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
def test_when_to_try_again(refused: Optional[Answer], expected: Optional[float]) -> None:
    assert retry_delay_seconds(refused, 2, NOW) == expected


def test_trouble_is_sat_out() -> None:
    good = answer(201, {"token": "T", "expires_at": "soon"})
    server = Server(UnreachableError("reset"), answer(502), answer(403, retry_after="5"), good)
    assert Runners(server.client()).registration_token() == "T"
    assert server.slept == [1.0, 2.0, 5.0]


def test_a_limit_beyond_the_bound_is_not_waited_for() -> None:
    limited = answer(403, x_ratelimit_remaining="0", x_ratelimit_reset=str(NOW + 3000))
    server = Server(limited)
    with pytest.raises(CiError, match=r"HTTP 403.*rate limit"):
        Runners(server.client()).find(["a"])
    assert server.slept == []


def test_endless_trouble_ends() -> None:
    server = Server(*[answer(500)] * 9)
    with pytest.raises(CiError, match=r"HTTP 500.*3 attempts"):
        Runners(server.client(attempts=3)).find(["a"])
    assert len(server.requests) == 3


def test_a_server_that_is_away_is_named() -> None:
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
        ("https://github.com/o/r", 422, ["422", "not accepted", "no access here"]),
    ],
)
def test_a_refusal_is_one_sentence_without_the_secret(url: str, status: int, words: list[str]) -> None:
    server = Server(answer(status, {"message": "no access here."}))
    with pytest.raises(CiError) as refused:
        Runners(server.client(url)).find(["a"])
    message = str(refused.value)
    assert all(word in message for word in words), message
    assert message.endswith(".")
    assert "\n" not in message
    assert "s3cret" not in message
    assert refused.value.details == {"status": status}


def test_an_answer_that_is_no_json_is_explained() -> None:
    server = Server(Answer(200, {}, b"<html>log in</html>"))
    with pytest.raises(CiError, match="not JSON"):
        Runners(server.client()).find(["a"])
