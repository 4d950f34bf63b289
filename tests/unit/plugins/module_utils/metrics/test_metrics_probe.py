"""Reachability against real sockets, also those that never answer."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import probe


def test_reachable_while_the_server_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/owner/repository"
        assert probe.reachable(url) is True
    assert probe.reachable(url) is False


def test_reachable_does_not_wait_for_a_resolver_beyond_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def resolve(*_: object, **__: object) -> list[object]:
        answer.wait(300)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    begun = time.monotonic()
    assert probe.reachable("https://github.com", timeout_seconds=0.2) is False
    assert time.monotonic() - begun < 60
    answer.set()


@pytest.mark.parametrize("url", ["ftp://github.com", "github.com", "https://", "", "https://h:port"])
def test_reachable_raises_value_error_for_an_invalid_address(url: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        probe.reachable(url)


@pytest.fixture
def server() -> Iterator[str]:
    """A server whose date is always one of 2026."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(204)
            if self.path == "/dated":
                self.send_header("Date", "Thu, 01 Jan 2026 00:00:10 GMT")
            elif self.path == "/odd":
                self.send_header("Date", "yesterday")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_server_clock_is_that_of_the_answer(server: str) -> None:
    assert probe.server_clock(f"{server}/dated", 30) == 1767225610.0


@pytest.mark.parametrize("path", ["/undated", "/odd"])
def test_server_clock_is_none_without_a_valid_date(server: str, path: str) -> None:
    assert probe.server_clock(server + path, 30) is None


def test_server_clock_is_none_without_a_server() -> None:
    assert probe.server_clock("http://127.0.0.1:1/", 30) is None
