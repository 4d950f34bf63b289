from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.mirror.faults import Fault
from testbed.mirror.server import MirrorServer, mirror
from tests._support.mirror_client import ask

CONTENT = bytes(range(256)) * 400
PATH = "/data.zip"


@pytest.fixture(scope="module")
def small_mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MirrorServer]:
    root: Path = tmp_path_factory.mktemp("root")
    (root / "data.zip").write_bytes(CONTENT)
    with mirror(root) as server:
        yield server


@pytest.fixture
def server(small_mirror: MirrorServer) -> MirrorServer:
    small_mirror.reset()
    return small_mirror


def set_fault(server: MirrorServer, kind: str, **details: Any) -> None:
    fault = {"path_regex": "^/data", "kind": kind, **details}
    answer = ask(server, "/_testbed/faults", method="POST", body=[fault])
    assert answer.status == 200, answer.body


def last(server: MirrorServer) -> dict[str, Any]:
    """Return the newest entry of the audit."""
    return server.requests()[-1]


def test_fault_status_answers_as_ordered_and_as_often(server: MirrorServer) -> None:
    set_fault(server, "status", status=429, headers={"Retry-After": "7"}, body="slower", times=2)
    for _ in range(2):
        answer = ask(server, PATH)
        assert (answer.status, answer.body, answer.headers["Retry-After"]) == (429, b"slower", "7")
    assert ask(server, PATH).body == CONTENT
    assert [entry["fault"] for entry in server.requests()] == ["status", "status", None]


def test_fault_skip_lets_requests_pass_first(server: MirrorServer) -> None:
    set_fault(server, "status", skip=1, times=1)
    assert [ask(server, PATH).status for _ in range(3)] == [200, 503, 200]


def test_fault_affects_only_its_paths_and_its_method(server: MirrorServer) -> None:
    set_fault(server, "status", method="HEAD")
    assert ask(server, PATH).status == 200
    assert ask(server, PATH, method="HEAD").status == 503
    assert ask(server, "/other", method="HEAD").status == 404


def test_fault_html_has_status_200(server: MirrorServer) -> None:
    set_fault(server, "html")
    answer = ask(server, PATH)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.body.startswith(b"<!doctype html>")


def test_fault_redirect_has_status_and_location(server: MirrorServer) -> None:
    set_fault(server, "redirect", location="/elsewhere", status=307)
    answer = ask(server, PATH)
    assert (answer.status, answer.headers["Location"]) == (307, "/elsewhere")


def test_fault_truncate_promises_more_than_it_sends(server: MirrorServer) -> None:
    set_fault(server, "truncate", after_bytes=5000)
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(server, PATH)
    assert caught.value.partial == CONTENT[:5000]
    assert (last(server)["bytes"], last(server)["complete"]) == (5000, False)


def test_fault_truncate_counts_from_the_start_of_the_range(server: MirrorServer) -> None:
    set_fault(server, "truncate", after_bytes=10)
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(server, PATH, {"Range": "bytes=100-"})
    assert caught.value.partial == CONTENT[100:110]


def test_fault_reset_breaks_the_connection(server: MirrorServer) -> None:
    set_fault(server, "reset", after_bytes=5000)
    with pytest.raises(ConnectionResetError):
        ask(server, PATH)


def test_fault_stall_sends_nothing_more(server: MirrorServer) -> None:
    set_fault(server, "stall", after_bytes=5000)
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        ask(server, PATH, timeout=0.5)
    assert time.monotonic() - begin < 3


def test_fault_stall_ends_after_its_seconds(server: MirrorServer) -> None:
    set_fault(server, "stall", after_bytes=5000, seconds=0.3)
    with pytest.raises(http.client.IncompleteRead):
        ask(server, PATH)
    assert last(server)["seconds"] >= 0.3


def test_mirror_server_stops_during_a_stall(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(CONTENT)
    with mirror(tmp_path) as server:
        set_fault(server, "stall")
        with pytest.raises(TimeoutError):
            ask(server, PATH, timeout=0.2)
        begin = time.monotonic()
    assert time.monotonic() - begin < 2


def test_fault_slow_keeps_its_rate(server: MirrorServer) -> None:
    set_fault(server, "slow", bytes_per_second=200_000)
    begin = time.monotonic()
    assert ask(server, PATH).body == CONTENT
    assert time.monotonic() - begin == pytest.approx(len(CONTENT) / 200_000, abs=0.3)


def test_fault_lie_about_length_can_exceed_the_body(server: MirrorServer) -> None:
    set_fault(server, "lie_about_length", delta_bytes=100)
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(server, PATH)
    assert caught.value.partial == CONTENT
    assert caught.value.expected == 100


def test_fault_lie_about_length_can_fall_short_of_the_body(server: MirrorServer) -> None:
    set_fault(server, "lie_about_length", delta_bytes=-100)
    answer = ask(server, PATH)
    assert answer.headers["Content-Length"] == str(len(CONTENT) - 100)
    assert answer.body == CONTENT[:-100]


def test_fault_ignore_range_answers_with_the_whole_file(server: MirrorServer) -> None:
    set_fault(server, "ignore_range", times=1)
    assert ask(server, PATH).status == 200
    answer = ask(server, PATH, {"Range": "bytes=100-"})
    assert (answer.status, answer.body) == (200, CONTENT)
    assert ask(server, PATH, {"Range": "bytes=100-"}).status == 206


def test_fault_change_between_ranges_serves_another_version(server: MirrorServer) -> None:
    before = ask(server, PATH)
    set_fault(server, "change_between_ranges")
    blind = ask(server, PATH, {"Range": "bytes=100-"})
    assert blind.status == 206
    assert blind.headers["ETag"] != before.headers["ETag"]
    assert len(blind.body) == len(CONTENT) - 100
    assert not any(new == old for new, old in zip(blind.body, CONTENT[100:], strict=True))
    careful = ask(server, PATH, {"Range": "bytes=100-", "If-Range": before.headers["ETag"]})
    assert careful.status == 200
    assert careful.body[100:] == blind.body


def test_faults_end_with_an_empty_list(server: MirrorServer) -> None:
    set_fault(server, "status", times=5)
    assert json.loads(ask(server, "/_testbed/faults").body)[0]["times"] == 5
    ask(server, "/_testbed/faults", method="POST", body=[])
    assert ask(server, PATH).status == 200


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("text", "A fault is an object"),
        ({"kind": "slow"}, "needs path_regex"),
        ({"path_regex": "x", "kind": "gremlin"}, "no fault of kind 'gremlin'"),
        ({"path_regex": "x", "kind": "slow", "speed": 1}, "A fault has no speed"),
        ({"path_regex": "(", "kind": "slow"}, "not a regular expression"),
    ],
)
def test_fault_from_json_rejects_an_invalid_fault(server: MirrorServer, fault: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Fault.from_json(fault)
    answer = ask(server, "/_testbed/faults", method="POST", body=[fault])
    assert answer.status == 400
    assert complaint in json.loads(answer.body)["message"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/_testbed/nothing"), ("POST", "/data.zip")])
def test_admin_routes_answer_404_for_others(server: MirrorServer, method: str, path: str) -> None:
    assert ask(server, path, method=method, body={}).status == 404
