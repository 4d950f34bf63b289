"""GitHub App sign-in: the JWT by an independent verifier, and one token for many calls."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Optional

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.auth import AppCredential, app_jwt
from ansible_collections.coldvox.ci.plugins.module_utils.github.client import Answer, Patience
from ansible_collections.coldvox.ci.plugins.module_utils.github.scope import scope_of
from ansible_collections.coldvox.ci.plugins.plugin_utils.github_connection import rs256_signer
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

NOW = 1_700_000_000.0
PEM = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def part(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_jwt_is_what_github_verifies(key: rsa.RSAPrivateKey) -> None:
    token = app_jwt("42", rs256_signer(key.private_bytes(*PEM).decode()), NOW)
    header, claims, signature = token.split(".")
    key.public_key().verify(
        part(signature), f"{header}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    assert json.loads(part(header)) == {"alg": "RS256", "typ": "JWT"}
    content = json.loads(part(claims))
    assert content["iss"] == "42"
    assert content["iat"] < NOW < content["exp"]
    assert content["exp"] - content["iat"] <= 600, "GitHub refuses more than ten minutes"
    assert "=" not in token


def test_keys_of_another_kind_are_refused() -> None:
    curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(*PEM).decode()
    for text in ("not a key", curve):
        with pytest.raises(CiError, match="app_key"):
            rs256_signer(text)


class Server:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []

    def __call__(self, method: str, url: str, headers: Mapping[str, str], _body: Optional[bytes]) -> Answer:
        self.calls.append((method, url, headers["Authorization"]))
        return Answer(200, {}, json.dumps({"id": 77, "token": "installation-token"}).encode())


def credential(server: Server, url: str, now: float = NOW, **extra: Any) -> AppCredential:
    patience = Patience(sleep=lambda _seconds: None, now=lambda: now)
    return AppCredential(server, scope_of(url), patience, app_id="42", sign=lambda _m: b"signed", **extra)


def test_the_installation_is_looked_up_and_its_token_bought_once() -> None:
    server = Server()
    ask = credential(server, "https://github.com/o/r")
    assert {ask(), ask()} == {"Bearer installation-token"}
    assert [call[:2] for call in server.calls] == [
        ("GET", "https://api.github.com/repos/o/r/installation"),
        ("POST", "https://api.github.com/app/installations/77/access_tokens"),
    ]


def test_a_known_installation_is_not_looked_up() -> None:
    server = Server()
    credential(server, "https://github.com/o", installation_id="5")()
    assert [call[1] for call in server.calls] == ["https://api.github.com/app/installations/5/access_tokens"]


def test_nothing_is_bought_before_it_is_needed() -> None:
    server = Server()
    credential(server, "https://github.com/o")
    assert server.calls == []


def test_enterprises_take_no_apps() -> None:
    with pytest.raises(CiError, match="manage_runners:enterprise"):
        credential(Server(), "https://github.com/enterprises/e")
