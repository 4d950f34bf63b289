"""The transports of controller and host on real sockets.

Each failure there is one sentence without a secret.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.client import (
    Client,
    Patience,
    Transport,
    stdlib_transport,
)
from ansible_collections.coldvox.ci.plugins.module_utils.github.runners import Runners
from ansible_collections.coldvox.ci.plugins.module_utils.github.scope import scope_of
from ansible_collections.coldvox.ci.plugins.plugin_utils.github_connection import ansible_transport, connect
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from testbed.github.seed import ADMIN_TOKEN
from testbed.github.server import Running

SECRET = "ghp_thisMustNotBeShownAnywhere"
EMPTY = b'HTTP/1.1 200 OK\r\nContent-Length: 33\r\nConnection: close\r\n\r\n{"total_count": 0, "runners": []}'
Wrap = Callable[[socket.socket], socket.socket]
NewTransport = Callable[[float], Transport]
TRANSPORTS: dict[str, NewTransport] = {
    "controller": lambda timeout_seconds: ansible_transport(None, timeout_seconds),
    "host": stdlib_transport,
}


class Peer:
    """A server that reads until an empty line, sends one text and hangs up."""

    def __init__(self, response: bytes, wrap: Wrap) -> None:
        self.received: list[str] = []
        self._said = response
        self._wrap = wrap
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                accepted, _address = self._socket.accept()
            except OSError:
                return
            with accepted, contextlib.suppress(OSError), self._wrap(accepted) as caller:
                caller.settimeout(10)
                self.received.append(self._read(caller))
                caller.sendall(self._said)

    @staticmethod
    def _read(caller: socket.socket) -> str:
        received = b""
        hello = b"\x16"  # how TLS begins, which ends in no empty line
        while b"\r\n\r\n" not in received and not received.startswith(hello) and (more := caller.recv(65536)):
            received += more
        return received.decode(errors="replace")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@contextlib.contextmanager
def peer(response: bytes, wrap: Wrap = lambda accepted: accepted) -> Iterator[Peer]:
    running = Peer(response, wrap)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("no_proxy", "")


@pytest.fixture(params=TRANSPORTS)
def new_transport(request: pytest.FixtureRequest) -> NewTransport:
    return TRANSPORTS[request.param]


def client(
    url: str,
    new_transport: NewTransport = TRANSPORTS["controller"],
    *,
    timeout_seconds: float = 10,
    attempts: int = 2,
) -> Client:
    patience = Patience(sleep=lambda _seconds: None, now=time.time, attempts=attempts)
    transport = new_transport(timeout_seconds)
    return Client(transport, scope_of(url), lambda: f"Bearer {SECRET}", patience)


def error_message(url: str, new_transport: NewTransport = TRANSPORTS["controller"], **options: Any) -> str:
    with pytest.raises(CiError) as refused:
        Runners(client(url, new_transport, **options)).all()
    message = str(refused.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert SECRET not in message
    return message


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n<html>Log in!</html>\n", "is not JSON"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"total_count"', "is not JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "has no 'runners'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "has no 'runners'"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"total_count"', "could not be reached"),
        (
            b"HTTP/1.1 502 Bad\r\nContent-Length: 13\r\n\r\n<html>502</h>",
            "HTTP 502): the server failed",
        ),
        (b"HTTP/1.1 407 Pay\r\nContent-Length: 0\r\n\r\n", "HTTP 407"),
        (b"SSH-2.0-OpenSSH\r\n", "could not be reached"),
        (b"", "could not be reached"),
    ],
)
def test_client_reports_a_peer_that_is_not_github(
    new_transport: NewTransport, response: bytes, expected: str
) -> None:
    with peer(response) as running:
        assert expected in error_message(f"http://127.0.0.1:{running.port}/o/r", new_transport)


def test_transport_sends_no_credential_to_a_redirect(new_transport: NewTransport) -> None:
    with peer(EMPTY) as elsewhere:
        place = f"Location: http://127.0.0.1:{elsewhere.port}/x"
        with peer(f"HTTP/1.1 302 Found\r\n{place}\r\nContent-Length: 0\r\n\r\n".encode()) as running:
            assert Runners(client(f"http://127.0.0.1:{running.port}/o/r", new_transport)).all() == []
            assert SECRET in running.received[0]
            assert SECRET not in elsewhere.received[0]


def test_client_reports_a_closed_port(new_transport: NewTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    message = error_message(f"http://127.0.0.1:{port}/o/r", new_transport)
    assert "Connection refused; 2 attempts" in message


def test_client_reports_a_timeout(new_transport: NewTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert "timed out" in error_message(
            f"http://127.0.0.1:{port}/o/r", new_transport, timeout_seconds=0.3
        )


def test_client_reports_an_unknown_host_name(new_transport: NewTransport) -> None:
    assert "could not be reached" in error_message("https://ghes.invalid/o/r", new_transport)


def certificate(home: Path) -> Path:
    """Make a self-signed certificate for 127.0.0.1; return the file, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ghes")])
    now = datetime.datetime.now(datetime.timezone.utc)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = home / "ghes.pem"
    path.write_bytes(key.private_bytes(*private) + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_ansible_transport_trusts_the_authority_in_ca_path(tmp_path: Path) -> None:
    path = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with peer(EMPTY, lambda accepted: context.wrap_socket(accepted, server_side=True)) as running:
        url = f"https://127.0.0.1:{running.port}/o/r"
        message = error_message(url)
        assert "certificate verify failed" in message
        assert "1 attempt)" in message, "another attempt gets the same certificate"
        assert "ca_path" in message
        private = client(url, lambda timeout_seconds: ansible_transport(str(path), timeout_seconds))
        assert Runners(private).all() == []
    with pytest.raises(CiError, match=r"ca_path '/nowhere.pem' is not a file"):
        connect({"url": url, "token": SECRET, "ca_path": "/nowhere.pem"})


def test_client_reports_a_peer_without_tls(new_transport: NewTransport) -> None:
    with peer(b"HTTP/1.1 400 Bad Request\r\n\r\n") as running:
        assert "could not be reached" in error_message(f"https://127.0.0.1:{running.port}/o/r", new_transport)


def test_transport_uses_the_proxy_of_the_environment(
    new_transport: NewTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with peer(EMPTY) as proxy:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert Runners(client("http://ghes.invalid/o/r", new_transport)).all() == []
        assert proxy.received[0].startswith("GET http://ghes.invalid/api/v3/repos/o/r/actions/runners?")
        assert "could not be reached" in error_message("https://ghes.invalid/o/r", new_transport, attempts=1)
        assert proxy.received[1].startswith("CONNECT ghes.invalid:443 ")
        assert SECRET not in proxy.received[1], "what a TLS connection hides is not expected to the proxy"


def limited(github: Running, *slept: float, fault: dict[str, Any]) -> list[float]:
    """Return the seconds that the client slept before the emulator's answer."""
    waited: list[float] = list(slept)
    github.admin.set_faults({"path_regex": "/actions/runners", **fault})
    patience = Patience(sleep=waited.append, now=time.time)
    scope = scope_of(f"{github.url}/Coldaine/ColdVox")
    asking = Client(ansible_transport(None, 10), scope, lambda: f"Bearer {ADMIN_TOKEN}", patience)
    assert Runners(asking).all() == []
    return waited


@pytest.mark.parametrize(
    ("fault", "waited"),
    [
        ({"status": 429, "headers": {"Retry-After": "3"}}, [3.0]),
        ({"status": 403, "headers": {"Retry-After": "7"}, "times": 2}, [7.0, 7.0]),
        ({"status": 403, "body": {"message": "You have exceeded a secondary rate limit."}}, [60.0]),
        ({"status": 503, "text": "<html>unicorn</html>", "times": 3}, [1.0, 2.0, 4.0]),
        ({"status": 200, "body": {"total_count": 0, "runners": []}, "cut_bytes": 9}, [1.0]),
    ],
)
def test_client_waits_and_retries_after_faults_of_github(
    github: Running, fault: dict[str, Any], waited: list[float]
) -> None:
    assert limited(github, fault=fault) == waited


def test_client_waits_for_the_primary_limit_that_ends_soon(github: Running) -> None:
    reset = int(time.time()) + 40
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}
    (waited,) = limited(github, fault={"status": 403, "headers": headers})
    assert 1.0 <= waited <= 40.0


def test_client_reports_the_primary_limit(github: Running) -> None:
    github.admin.call("POST", "/rate_limit", {"limit": 0})
    # The end of the hour may be near: then waiting is right, and the next hour's limit is none as well.
    patience = Patience(sleep=lambda _seconds: None, now=time.time)
    scope = scope_of(f"{github.url}/Coldaine/ColdVox")
    asking = Client(ansible_transport(None, 10), scope, lambda: f"Bearer {ADMIN_TOKEN}", patience)
    with pytest.raises(CiError, match=r"HTTP 403\): the rate limit is used up"):
        Runners(asking).all()


def test_app_credential_renews_its_token_before_it_expires(github: Running) -> None:
    from ansible_collections.coldvox.ci.plugins.module_utils.github.auth import AppCredential
    from ansible_collections.coldvox.ci.plugins.plugin_utils.github_connection import rs256_signer
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    app = {
        "id": 5,
        "installation_id": 6,
        "public_key": public.decode(),
        "permissions": {"administration": "read"},
    }
    github.admin.call("POST", "/apps", app)
    ahead = [0.0]
    patience = Patience(sleep=lambda _seconds: None, now=lambda: time.time() + ahead[0])
    transport, scope = ansible_transport(None, 10), scope_of(f"{github.url}/Coldaine/ColdVox")
    credential = AppCredential(transport, scope, patience, app_id="5", sign=rs256_signer(private.decode()))
    runners = Runners(Client(transport, scope, credential, patience))
    for seconds in (0, 2900, 101, 3700):
        github.admin.advance_clock(seconds)
        ahead[0] += seconds
        assert runners.all() == []
    asked = [entry["path"].rpartition("/")[2] for entry in github.admin.audit()]
    bought = "access_tokens"
    assert asked == ["installation", bought, "runners", "runners", bought, "runners", bought, "runners"]
    with pytest.raises(CiError, match=r"give a registration token.*'Administration: read and write'"):
        runners.registration_token()
