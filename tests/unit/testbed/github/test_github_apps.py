from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests._support.rest_client import ORGANIZATION, REPOSITORY, Rest

APP, INSTALLATION = 4711, 99
TOKENS = f"/app/installations/{INSTALLATION}/access_tokens"


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


@pytest.fixture(autouse=True)
def _app(rest: Rest, key: RSAPrivateKey) -> None:
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    permissions = {"administration": "write"}
    app = {"id": APP, "installation_id": INSTALLATION, "public_key": public, "permissions": permissions}
    rest.server.admin.call("POST", "/apps", app)


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _assertion(key: RSAPrivateKey, **changed: Any) -> str:
    now = int(time.time())
    claims = {"iss": str(APP), "iat": now - 60, "exp": now + 540, **changed}
    parts = [_encode(json.dumps(each).encode()) for each in ({"alg": "RS256"}, claims)]
    signed = ".".join(parts)
    return f"{signed}.{_encode(key.sign(signed.encode(), PKCS1v15(), SHA256()))}"


def test_app_gets_a_token_for_an_hour(rest: Rest, key: RSAPrivateKey) -> None:
    assertion = _assertion(key)
    assert rest("GET", "/app", token=assertion).body["id"] == APP
    for scope in (REPOSITORY, ORGANIZATION):
        assert rest("GET", f"{scope}/installation", token=assertion).body["id"] == INSTALLATION
    reply = rest("POST", TOKENS, token=assertion)
    assert reply.status == 201
    token = reply.body["token"]
    assert set(rest.server.admin.issued_tokens()) == {token, assertion}
    assert rest("GET", f"{REPOSITORY}/actions/runners", token=token).status == 200
    refused = rest("GET", f"{REPOSITORY}/actions/variables", token=token)
    assert refused.body["message"] == "Resource not accessible by integration"
    rest.server.admin.advance_clock(3601)
    assert rest("GET", f"{REPOSITORY}/actions/runners", token=token).status == 401


@pytest.mark.parametrize(
    ("changed", "status", "message"),
    [
        # Seconds from now: the tests may run long after they are collected.
        ({"exp": -1_000_000_000}, 401, "'Expiration time' claim ('exp') must be"),
        ({"exp": 3600}, 401, "too far in the future"),
        ({"iat": 600}, 401, "'Issued at' claim"),
        ({"iss": "1"}, 404, "Integration not found"),
    ],
)
def test_app_with_a_bad_assertion_is_refused(
    rest: Rest, key: RSAPrivateKey, changed: dict[str, Any], status: int, message: str
) -> None:
    now = int(time.time())
    claims = {name: value if isinstance(value, str) else now + value for name, value in changed.items()}
    reply = rest("POST", TOKENS, token=_assertion(key, **claims))
    assert reply.status == status
    assert message in reply.body["message"]


@pytest.mark.parametrize("token", ["x", "a.b.c", "a.b"])
def test_app_with_another_token_is_refused(rest: Rest, token: str) -> None:
    reply = rest("POST", TOKENS, token=token)
    assert (reply.status, reply.body["message"]) == (401, "A JSON web token could not be decoded")


def test_app_with_another_key_is_refused(rest: Rest) -> None:
    assert rest("POST", TOKENS, token=_assertion(generate_private_key(65537, 2048))).status == 401


def test_app_gets_no_more_permissions_than_its_installation(rest: Rest, key: RSAPrivateKey) -> None:
    wanted = {"permissions": {"actions_variables": "write"}}
    assert rest("POST", TOKENS, wanted, token=_assertion(key)).status == 422
    assert rest("POST", "/app/installations/1/access_tokens", token=_assertion(key)).status == 404
