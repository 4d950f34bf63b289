from __future__ import annotations

import email.utils
import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.mirror.server import MirrorServer, mirror
from testbed.paths import CHECKOUT
from tests._support.mirror_client import ask

CONTENT = bytes(range(256)) * 400
MODIFIED = 1_700_000_000
TOML = b'url = "http://mirror.invalid/rust-dist/dist/x.tar.gz"\n'


@pytest.fixture(scope="module")
def small_mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MirrorServer]:
    root = tmp_path_factory.mktemp("root")
    (root / "data.zip").write_bytes(CONTENT)
    os.utime(root / "data.zip", (MODIFIED, MODIFIED))
    (root / "empty").write_bytes(b"")
    (root / "with space").write_bytes(b"space")
    (root / ".hidden").write_bytes(b"hidden")
    (root / "rust-dist/dist").mkdir(parents=True)
    (root / "rust-dist/dist/channel-rust-stable.toml").write_bytes(TOML)
    (root / "rust-dist/dist/channel-rust-stable.toml.sha256").write_text("stale")
    (root.parent / "outside").write_bytes(b"outside")
    with mirror(root) as server:
        yield server


@pytest.fixture
def server(small_mirror: MirrorServer) -> MirrorServer:
    small_mirror.reset()
    return small_mirror


def test_mirror_serves_a_file_with_validators(server: MirrorServer) -> None:
    answer = ask(server, "/data.zip")
    assert answer.status == 200
    assert answer.body == CONTENT
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Last-Modified"] == email.utils.formatdate(MODIFIED, usegmt=True)
    assert re.fullmatch(r'"[^"]+"', answer.headers["ETag"])


def test_mirror_answers_head_like_get_without_a_body(server: MirrorServer) -> None:
    whole, head = ask(server, "/data.zip"), ask(server, "/data.zip", method="HEAD")
    assert head.status == 200
    assert head.body == b""
    assert {**head.headers, "Date": ""} == {**whole.headers, "Date": ""}


@pytest.mark.parametrize(
    "path", ["/missing", "/", "/rust-dist", "/../outside", "/%2e%2e/outside", "/.hidden"]
)
def test_mirror_answers_404_outside_of_its_tree(server: MirrorServer, path: str) -> None:
    assert ask(server, path).status == 404


def test_mirror_serves_unusual_names_and_empty_files(server: MirrorServer) -> None:
    assert ask(server, "/with%20space?query=1").body == b"space"
    assert ask(server, "/empty")[0::2] == (200, b"")


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [("bytes=100-199", 100, 200), ("bytes=1000-", 1000, None), ("bytes=-5", -5, None)],
)
def test_mirror_serves_a_range(server: MirrorServer, header: str, start: int, end: int | None) -> None:
    answer = ask(server, "/data.zip", {"Range": header})
    expected = CONTENT[start:end]
    first = CONTENT.__len__() + start if start < 0 else start
    assert answer.status == 206
    assert answer.body == expected
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{len(CONTENT)}"


def test_mirror_refuses_a_range_after_the_end(server: MirrorServer) -> None:
    answer = ask(server, "/data.zip", {"Range": f"bytes={len(CONTENT)}-"})
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(CONTENT)}"


def test_mirror_serves_a_range_only_of_the_version_in_if_range(server: MirrorServer) -> None:
    first = ask(server, "/data.zip").headers
    for validator, status in [
        (first["ETag"], 206),
        (first["Last-Modified"], 206),
        ('"another"', 200),
        (email.utils.formatdate(MODIFIED - 60, usegmt=True), 200),
        ("nonsense", 200),
    ]:
        answer = ask(server, "/data.zip", {"Range": "bytes=10-", "If-Range": validator})
        assert answer.status == status, validator
        assert answer.body == (CONTENT[10:] if status == 206 else CONTENT)


def test_mirror_answers_304_for_a_current_version(server: MirrorServer) -> None:
    first = ask(server, "/data.zip").headers
    for condition in (
        {"If-None-Match": first["ETag"]},
        {"If-None-Match": f'"x", W/{first["ETag"]}'},
        {"If-Modified-Since": first["Last-Modified"]},
    ):
        assert ask(server, "/data.zip", condition)[0::2] == (304, b"")
    assert ask(server, "/data.zip", {"If-None-Match": '"x"'}).status == 200


def test_mirror_keeps_a_connection_open(server: MirrorServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    for _ in range(3):
        connection.request("GET", "/data.zip", headers={"Range": "bytes=0-9"})
        socket = connection.sock
        assert connection.getresponse().read() == CONTENT[:10]
        connection.request("GET", "/missing")
        assert connection.getresponse().read()
        assert connection.sock is socket, "the connection was closed in between"
    connection.close()


def test_mirror_replaces_the_placeholder_by_the_clients_address(server: MirrorServer) -> None:
    for host in (f"127.0.0.1:{server.server_address[1]}", "mirror.example:8081"):
        path = "/rust-dist/dist/channel-rust-stable.toml"
        text = ask(server, path, {"Host": host})
        digest = ask(server, f"{path}.sha256", {"Host": host})
        assert text.body == f'url = "http://{host}/rust-dist/dist/x.tar.gz"\n'.encode()
        expected = hashlib.sha256(text.body).hexdigest()
        assert digest.body == f"{expected}  channel-rust-stable.toml\n".encode()
        assert text.headers["Content-Length"] == str(len(text.body))


def test_mirror_audit_has_every_request(server: MirrorServer) -> None:
    ask(server, "/data.zip", {"Range": "bytes=0-99"})
    ask(server, "/missing", method="HEAD")
    entries = json.loads(ask(server, "/_testbed/audit").body)
    shown = [(e["method"], e["path"], e["status"], e["range"], e["bytes"], e["complete"]) for e in entries]
    assert shown == [
        ("GET", "/data.zip", 206, "bytes=0-99", 100, True),
        ("HEAD", "/missing", 404, None, 0, True),
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", entries[0]["time"])
    assert ask(server, "/_testbed/reset", method="POST").status == 200
    assert server.requests() == []


def test_mirror_serves_many_clients_at_once(server: MirrorServer) -> None:
    server.set_faults([{"path_regex": "/data.zip", "kind": "slow", "bytes_per_second": len(CONTENT)}])
    bodies: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: bodies.append(ask(server, "/data.zip").body)) for _ in range(8)
    ]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [CONTENT] * 8
    assert time.monotonic() - begin < 4, "one after the other takes 8 s"


def test_mirror_serve_writes_the_audit_and_ends_at_sigterm(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/file").write_text("text")
    audit = tmp_path / "audit.jsonl"
    command = [sys.executable, "-m", "testbed.mirror", "serve", "--port", "0"]
    options = ["--root", str(tmp_path / "root"), "--audit", str(audit)]
    with subprocess.Popen([*command, *options], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"{url}/_testbed/health", timeout=5) as answer:
            assert json.load(answer)["status"] == "ok"
        with urllib.request.urlopen(f"{url}/file", timeout=5) as answer:
            assert answer.read() == b"text"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0
    [line] = audit.read_text().splitlines()
    assert json.loads(line)["path"] == "/file"


def test_mirror_serve_reports_a_taken_port(server: MirrorServer, tmp_path: Path) -> None:
    port = str(server.server_address[1])
    command = [sys.executable, "-m", "testbed.mirror", "serve", "--port", port, "--root", str(tmp_path)]
    outcome = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=30, check=False)
    assert outcome.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in outcome.stderr
    assert "Traceback" not in outcome.stderr
