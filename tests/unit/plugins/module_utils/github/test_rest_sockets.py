"""The doors of controller and host against real sockets: what goes wrong there is one sentence, without a
secret.
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
Door = Callable[[float], Transport]
DOORS: dict[str, Door] = {
    "controller": lambda timeout_seconds: ansible_transport(None, timeout_seconds),
    "host": stdlib_transport,
}


class Peer:
    """Accepts connections, keeps what it reads until an empty line, says one thing and hangs up."""

    def __init__(self, said: bytes, wrap: Wrap) -> None:
        self.heard: list[str] = []
        self._said = said
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
                self.heard.append(self._read(caller))
                caller.sendall(self._said)

    @staticmethod
    def _read(caller: socket.socket) -> str:
        heard = b""
        hello = b"\x16"  # how TLS begins, which ends in no empty line
        while b"\r\n\r\n" not in heard and not heard.startswith(hello) and (more := caller.recv(65536)):
            heard += more
        return heard.decode(errors="replace")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@contextlib.contextmanager
def peer(said: bytes, wrap: Wrap = lambda accepted: accepted) -> Iterator[Peer]:
    running = Peer(said, wrap)
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


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Door:
    return DOORS[request.param]


def client(
    url: str, door: Door = DOORS["controller"], *, timeout_seconds: float = 10, attempts: int = 2
) -> Client:
    patience = Patience(sleep=lambda _seconds: None, now=time.time, attempts=attempts)
    transport = door(timeout_seconds)
    return Client(transport, scope_of(url), lambda: f"Bearer {SECRET}", patience)


def trouble(url: str, door: Door = DOORS["controller"], **options: Any) -> str:
    with pytest.raises(CiError) as refused:
        Runners(client(url, door, **options)).all()
    message = str(refused.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert SECRET not in message
    return message


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n<html>Log in!</html>\n", "is not JSON"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"total_count"', "is not JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "has no 'runners'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "has no 'runners'"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"total_count"', "could not be reached"),
        (
            b"HTTP/1.1 502 Bad\r\nContent-Length: 13\r\n\r\n<html>502</h>",
            "HTTP 502): the server is in trouble",
        ),
        (b"HTTP/1.1 407 Pay\r\nContent-Length: 0\r\n\r\n", "HTTP 407"),
        (b"SSH-2.0-OpenSSH\r\n", "could not be reached"),
        (b"", "could not be reached"),
    ],
)
def test_a_peer_that_does_not_talk_as_github_does(door: Door, said: bytes, told: str) -> None:
    with peer(said) as running:
        assert told in trouble(f"http://127.0.0.1:{running.port}/o/r", door)


def test_a_redirect_does_not_get_the_credential(door: Door) -> None:
    with peer(EMPTY) as elsewhere:
        place = f"Location: http://127.0.0.1:{elsewhere.port}/x"
        with peer(f"HTTP/1.1 302 Found\r\n{place}\r\nContent-Length: 0\r\n\r\n".encode()) as running:
            assert Runners(client(f"http://127.0.0.1:{running.port}/o/r", door)).all() == []
            assert SECRET in running.heard[0]
            assert SECRET not in elsewhere.heard[0]


def test_nobody_listens(door: Door) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    message = trouble(f"http://127.0.0.1:{port}/o/r", door)
    assert "Connection refused; 2 attempts" in message


def test_a_peer_that_never_answers(door: Door) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert "timed out" in trouble(f"http://127.0.0.1:{port}/o/r", door, timeout_seconds=0.3)


def test_a_name_that_nobody_knows(door: Door) -> None:
    assert "could not be reached" in trouble("https://ghes.invalid/o/r", door)


def certificate(home: Path) -> Path:
    """Make a certificate for 127.0.0.1 that is its own authority; return the file, with the key in it."""
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


def test_a_private_authority_is_trusted_when_it_is_named(tmp_path: Path) -> None:
    path = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with peer(EMPTY, lambda accepted: context.wrap_socket(accepted, server_side=True)) as running:
        url = f"https://127.0.0.1:{running.port}/o/r"
        message = trouble(url)
        assert "certificate verify failed" in message
        assert "1 attempt)" in message, "another attempt meets the same certificate"
        assert "ca_path" in message
        private = client(url, lambda timeout_seconds: ansible_transport(str(path), timeout_seconds))
        assert Runners(private).all() == []
    with pytest.raises(CiError, match=r"ca_path '/nowhere.pem' is not a file"):
        connect({"url": url, "token": SECRET, "ca_path": "/nowhere.pem"})


def test_no_tls_where_it_is_expected(door: Door) -> None:
    with peer(b"HTTP/1.1 400 Bad Request\r\n\r\n") as running:
        assert "could not be reached" in trouble(f"https://127.0.0.1:{running.port}/o/r", door)


def test_the_proxy_of_the_environment_is_used(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    with peer(EMPTY) as proxy:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert Runners(client("http://ghes.invalid/o/r", door)).all() == []
        assert proxy.heard[0].startswith("GET http://ghes.invalid/api/v3/repos/o/r/actions/runners?")
        assert "could not be reached" in trouble("https://ghes.invalid/o/r", door, attempts=1)
        assert proxy.heard[1].startswith("CONNECT ghes.invalid:443 ")
        assert SECRET not in proxy.heard[1], "what a TLS connection hides is not told to the proxy"


def limited(github: Running, *slept: float, fault: dict[str, Any]) -> list[float]:
    """Return how long the client slept before the emulator answered it."""
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
def test_a_bad_day_at_github_is_sat_out(github: Running, fault: dict[str, Any], waited: list[float]) -> None:
    assert limited(github, fault=fault) == waited


def test_the_primary_limit_is_waited_for_when_it_ends_soon(github: Running) -> None:
    reset = int(time.time()) + 40
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}
    (waited,) = limited(github, fault={"status": 403, "headers": headers})
    assert 1.0 <= waited <= 40.0


def test_the_primary_limit_of_the_emulator_is_named(github: Running) -> None:
    github.admin.call("POST", "/rate_limit", {"limit": 0})
    # The end of the hour may be near: then waiting is right, and the next hour's limit is none as well.
    patience = Patience(sleep=lambda _seconds: None, now=time.time)
    scope = scope_of(f"{github.url}/Coldaine/ColdVox")
    asking = Client(ansible_transport(None, 10), scope, lambda: f"Bearer {ADMIN_TOKEN}", patience)
    with pytest.raises(CiError, match=r"HTTP 403\): the rate limit is used up"):
        Runners(asking).all()


def test_an_app_renews_its_token_before_it_expires(github: Running) -> None:
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
    asked = [one["path"].rpartition("/")[2] for one in github.admin.audit()]
    bought = "access_tokens"
    assert asked == ["installation", bought, "runners", "runners", bought, "runners", bought, "runners"]
    with pytest.raises(CiError, match=r"give a registration token.*'Administration: write'"):
        runners.registration_token()
