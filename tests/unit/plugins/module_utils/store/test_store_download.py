from __future__ import annotations

import gzip
import os
import socket
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.durable import StorageError
from ansible_collections.coldvox.ci.plugins.module_utils.store.download import Download, Downloaded, Partial
from ansible_collections.coldvox.ci.plugins.module_utils.store.transport import FetchError, Floor

from tests._support.fault_server import DRIPS, FaultServer, noise, sha256

BODY = noise(300_000)


class Client:
    """Downloads BODY into one partial file, again and again if need be."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "x.part")
        self.reports: list[tuple[int, int | None]] = []

    def fetch(self, *urls: str, body: bytes = BODY, **more: Any) -> Downloaded:
        partial = Partial(self.path)
        how: dict[str, Any] = {"timeout_seconds": 0.5, "max_bytes": 10**7, "pause_seconds": 0.01, **more}
        download = Download(
            partial, sha256(body), report=lambda done, total: self.reports.append((done, total)), **how
        )
        try:
            return download.fetch(urls)
        finally:
            partial.close()

    @property
    def bytes(self) -> bytes:
        return Path(self.path).read_bytes()


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


def ranges(server: FaultServer) -> list[str]:
    return [headers.get("range", "") for _path, headers in server.requests]


def test_download_arrives_and_is_reported(server: FaultServer, client: Client) -> None:
    url = server.serve("/x", BODY)
    assert client.fetch(url) == Downloaded(url, len(BODY), len(BODY))
    assert client.bytes == BODY
    assert client.reports[-1] == (len(BODY), len(BODY))


def test_download_arrives_without_a_length(server: FaultServer, client: Client) -> None:
    client.fetch(server.serve("/x", BODY, length=-1))
    assert client.bytes == BODY


@pytest.mark.parametrize("fault", ["break:100000", "reset:100000", "stall:100000"])
def test_download_continues_a_broken_connection(server: FaultServer, client: Client, fault: str) -> None:
    url = server.serve("/x", BODY, faults=[fault])
    done = client.fetch(url)
    assert client.bytes == BODY
    first, second = server.requests
    assert "range" not in first[1]
    start = int(second[1]["range"].removeprefix("bytes=").rstrip("-"))
    assert 0 < start <= 100_000
    assert second[1]["if-range"] == '"one"'
    assert done.received == len(BODY)


def test_download_continues_after_a_killed_process(server: FaultServer, client: Client) -> None:
    url = server.serve("/x", BODY, faults=["break:100000", "500", "500", "500"])
    with pytest.raises(CiError, match="the server answered 500"):
        client.fetch(url)
    assert client.fetch(url).received == len(BODY) - 100_000
    assert ranges(server)[-1] == "bytes=100000-"


def test_download_of_finished_bytes_asks_no_server(client: Client, server: FaultServer) -> None:
    url = server.serve("/x", BODY)
    client.fetch(url)
    server.requests.clear()
    assert client.fetch(url) == Downloaded(url, len(BODY), 0)
    assert server.requests == []


def test_download_starts_over_without_ranges(server: FaultServer, client: Client) -> None:
    client.fetch(server.serve("/x", BODY, ranges=False, faults=["break:100000"]))
    assert client.bytes == BODY


def test_download_starts_over_when_the_file_changed(server: FaultServer, client: Client) -> None:
    url = server.serve(
        "/x", noise(300_000, "old"), etag='"old"', faults=["break:100000", "500", "500", "500"]
    )
    with pytest.raises(CiError):
        client.fetch(url)
    server.serve("/x", BODY, etag='"new"')
    client.fetch(url)
    assert client.bytes == BODY


@pytest.mark.parametrize("etag", ['"new"', None, 'W/"weak"'])
def test_download_detects_a_change_that_the_server_does_not_state(
    server: FaultServer, client: Client, etag: str | None
) -> None:
    """It answers 206 with bytes of another file.

    By its ETag, its length or at last the digest that shows.
    """
    url = server.serve(
        "/x", noise(300_000, "old"), etag='"old"', faults=["break:100000", "500", "500", "500"]
    )
    with pytest.raises(CiError):
        client.fetch(url)
    server.serve("/x", BODY, etag=etag, ignore_if_range=True)
    client.fetch(url)
    assert client.bytes == BODY


def test_download_takes_another_length_for_another_file(server: FaultServer, client: Client) -> None:
    url = server.serve("/x", noise(200_000, "old"), etag=None, faults=["break:100000", "500", "500", "500"])
    with pytest.raises(CiError):
        client.fetch(url)
    server.serve("/x", BODY, etag=None)
    client.fetch(url)
    assert client.bytes == BODY


def test_download_takes_the_rest_from_another_server(server: FaultServer, client: Client) -> None:
    first = server.serve("/first", BODY, faults=["break:100000", "500", "500", "500"])
    second = server.serve("/second", BODY, etag='"other"')
    done = client.fetch(first, second)
    assert (done.url, done.received) == (second, len(BODY))
    assert "if-range" not in server.requests[-1][1]


@pytest.mark.parametrize("status", ["500", "502", "503", "429", "408"])
def test_download_retries_a_passing_error(server: FaultServer, client: Client, status: str) -> None:
    client.fetch(server.serve("/x", BODY, faults=[status, status], headers={"Retry-After": "0"}))
    assert server.count("/x") == 3


@pytest.mark.parametrize("status", ["401", "403", "404", "410"])
def test_download_does_not_retry_a_lasting_error(server: FaultServer, client: Client, status: str) -> None:
    url = server.serve("/x", BODY, faults=[status])
    with pytest.raises(CiError, match=f"/x: the server answered {status}"):
        client.fetch(url)
    assert server.count("/x") == 1


def test_download_names_every_url_with_its_reason(
    server: FaultServer, client: Client, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/x"
    wrong = server.serve("/wrong?sig=secret", noise(10, "wrong"))
    page = server.serve("/page", b"<html>", headers={"Content-Type": "text/html"})
    with pytest.raises(CiError) as caught:
        client.fetch(closed, server.url + "/missing", wrong, page, f"file://{tmp_path}/none")
    message = str(caught.value)
    for words in (
        f"{closed}: Connection refused",
        "/missing: the server answered 404",
        f"/wrong?…: wrong checksum, expected sha256 {sha256(BODY)} and got {sha256(noise(10, 'wrong'))}",
        "a web page instead of the file",
        f"{tmp_path}/none cannot be read (No such file or directory)",
    ):
        assert words in message
    assert "secret" not in message
    assert os.path.getsize(client.path) == 0


def test_download_does_not_repeat_a_wrong_checksum(server: FaultServer, client: Client) -> None:
    url = server.serve("/x", noise(300_000, "wrong"))
    with pytest.raises(CiError, match="wrong checksum"):
        client.fetch(url)
    assert server.count("/x") == 1


def test_download_detects_a_length_that_is_too_short(server: FaultServer, client: Client) -> None:
    with pytest.raises(CiError, match=r"wrong checksum.*\(1000 bytes\)"):
        client.fetch(server.serve("/x", BODY, length=1000))


def test_download_detects_a_length_that_is_too_long(server: FaultServer, client: Client) -> None:
    url = server.serve("/x", BODY, length=len(BODY) + 7, ranges=False, faults=["break:400000"] * 40)
    with pytest.raises(CiError, match="connection"):
        client.fetch(url)


def test_download_leaves_a_silent_server(server: FaultServer, client: Client) -> None:
    silent = server.serve("/silent", BODY, faults=["stall:0"] * 3)
    assert client.fetch(silent, server.serve("/x", BODY), timeout_seconds=0.1).url.endswith("/x")


def test_download_leaves_a_server_that_is_too_slow(server: FaultServer, client: Client) -> None:
    drip = server.serve("/drip", BODY, rate=200)
    done = client.fetch(drip, server.serve("/x", BODY), timeout_seconds=0.3)
    assert done.url.endswith("/x")
    assert client.bytes == BODY
    assert server.count("/drip") >= 3


@pytest.mark.parametrize("fault", DRIPS)
def test_download_gives_up_on_slow_headers(server: FaultServer, client: Client, fault: str) -> None:
    url = server.serve("/x", BODY, faults=[fault])
    assert client.fetch(url, timeout_seconds=0.3).url == url
    assert client.bytes == BODY
    assert server.count("/x") == 2


@pytest.mark.parametrize(
    ("pieces", "given_up"),
    [
        ([(100, 59.0), (100, 61.0)], True),
        ([(61_439, 60.0)], True),
        ([(61_440, 60.0)], False),
        ([(61_440, 60.0), (61_440, 120.0), (1, 121.0)], False),
        ([(10**9, 1.0), (0, 60.0), (1, 120.0)], True),
        ([(61_440, 86_400.0)], False),
    ],
)
def test_floor_is_an_average_over_each_window(pieces: list[tuple[int, float]], given_up: bool) -> None:
    floor = Floor(60.0, 0.0)
    with pytest.raises(FetchError, match="less than 1 KiB/s") if given_up else nullcontext():
        for size, now in pieces:
            floor.count(size, now)


def test_download_refuses_too_many_bytes(server: FaultServer, client: Client) -> None:
    with pytest.raises(CiError, match="300000 bytes, more than the allowed 1000"):
        client.fetch(server.serve("/x", BODY), max_bytes=1000)
    with pytest.raises(CiError, match=r"more than the allowed 1000"):
        client.fetch(server.serve("/x", BODY, length=-1), max_bytes=1000)


def test_download_follows_redirects_but_no_loop(server: FaultServer, client: Client) -> None:
    server.serve("/x", BODY)
    client.fetch(server.serve("/moved", b"", location="/x"))
    assert client.bytes == BODY
    with pytest.raises(CiError, match="redirect") as caught:
        client.fetch(server.serve("/loop", b"", location="/loop"), body=b"other")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_download_refuses_a_redirect_to_another_scheme(
    server: FaultServer, client: Client, target: str
) -> None:
    with pytest.raises(CiError, match=r"not safe|not allowed"):
        client.fetch(server.serve("/x", b"", location=target))


def test_download_refuses_altered_bytes(server: FaultServer, client: Client) -> None:
    altered = server.serve("/x", gzip.compress(BODY), headers={"Content-Encoding": "gzip"})
    with pytest.raises(CiError, match=r"wrong checksum.*, sent with Content-Encoding gzip"):
        client.fetch(altered)


def test_download_uses_a_proxy_of_the_environment(
    server: FaultServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    server.serve("http://files.invalid/x", BODY)
    client.fetch("http://files.invalid/x")
    assert server.count("http://files.invalid/x") == 1


def test_download_copies_a_file_url(client: Client, tmp_path: Path) -> None:
    source = tmp_path / "my file.zip"
    source.write_bytes(BODY)
    assert client.fetch(f"file://{tmp_path}/my%20file.zip").received == len(BODY)
    assert client.bytes == BODY


def test_download_reports_missing_space_before_it_begins(server: FaultServer, client: Client) -> None:
    url = server.serve("/x", BODY, length=2**60)
    with pytest.raises(StorageError, match=f"{2**60} bytes are needed"):
        client.fetch(url, max_bytes=2**61)
    assert client.bytes == b""


def test_download_refuses_an_untrusted_certificate(client: Client, tmp_path: Path) -> None:
    """Try both in one: a downgrade to http needs a trusted https server."""
    url, certificate, stop = https_server(tmp_path, "http://127.0.0.1:9/x")
    try:
        with pytest.raises(CiError, match="certificate is not accepted"):
            client.fetch(url)
        os.environ["SSL_CERT_FILE"] = certificate
        with pytest.raises(CiError, match=r"redirects from https to http://127\.0\.0\.1:9/x"):
            client.fetch(url)
    finally:
        os.environ.pop("SSL_CERT_FILE", None)
        stop()


def https_server(directory: Path, location: str) -> tuple[str, str, Any]:
    import ssl
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    key, certificate = str(directory / "key.pem"), str(directory / "cert.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", location)
            self.end_headers()

        def log_message(self, *_what: Any) -> None:
            return

    http = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    http.socket = context.wrap_socket(http.socket, server_side=True)
    threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
    return f"https://127.0.0.1:{http.server_address[1]}/x", certificate, http.shutdown
