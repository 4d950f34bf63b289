"""The sign-in of an App, judged by a GitHub that somebody else wrote: npm's emulate, where Node is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.auth import AppCredential
from ansible_collections.coldvox.ci.plugins.module_utils.github.client import Client, Patience
from ansible_collections.coldvox.ci.plugins.module_utils.github.scope import scope_of
from ansible_collections.coldvox.ci.plugins.plugin_utils.github_connection import (
    ansible_transport,
    rs256_signer,
)
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from testbed import paths
from testbed.errors import TestbedError
from testbed.github.emulate import emulate, missing_node, prepare

APP = "4711"


def pem(key: rsa.RSAPrivateKey) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def address(key: rsa.RSAPrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if reason := missing_node():
        pytest.skip(reason)
    try:
        home = prepare(paths.testbed_paths().cache)
    except TestbedError as error:
        pytest.skip(str(error))
    app = {
        "app_id": int(APP),
        "slug": "runners",
        "name": "Runners",
        "private_key": pem(key),
        "permissions": {"administration": "write", "contents": "read", "metadata": "read"},
        "installations": [{"installation_id": 99, "account": "Coldaine", "repository_selection": "all"}],
    }
    seed = {
        "users": [{"login": "octocat"}],
        "orgs": [{"login": "Coldaine"}],
        "repos": [{"owner": "Coldaine", "name": "ColdVox", "private": True, "auto_init": True}],
        "apps": [app],
    }
    with emulate(home, tmp_path_factory.mktemp("emulate"), seed) as url:
        yield url


def signed_in(
    address: str, key: rsa.RSAPrivateKey, page: str, *, app_id: str = APP, ahead: float = 0.0
) -> Client:
    """Return a client as an App; ``ahead`` is how far its clock goes wrong, in seconds."""
    patience = Patience(sleep=lambda _seconds: None, now=lambda: time.time() + ahead)
    transport, scope = ansible_transport(None, 20), scope_of(f"{address}/{page}", address)
    credential = AppCredential(transport, scope, patience, app_id=app_id, sign=rs256_signer(pem(key)))
    return Client(transport, scope, credential, patience)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_it_listens_on_loopback_alone(address: str) -> None:
    port = f"{int(address.rpartition(':')[2]):04X}"
    tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
    lines = [line.split() for table in tables for line in table.splitlines()]
    listening = {line[1] for line in lines if line[1].endswith(f":{port}") and line[3] == "0A"}
    assert listening == {f"0100007F:{port}"}


@pytest.mark.parametrize("page", ["Coldaine/ColdVox", "Coldaine"])
def test_the_app_is_found_and_its_token_is_good(address: str, key: rsa.RSAPrivateKey, page: str) -> None:
    private = ("GET", "/repos/Coldaine/ColdVox", "see")
    seen = signed_in(address, key, page).call(*private)
    assert (seen["full_name"], seen["private"]) == ("Coldaine/ColdVox", True)
    patience = Patience(sleep=lambda _seconds: None, now=time.time)
    scope = scope_of(f"{address}/{page}", address)
    with pytest.raises(CiError, match=r"HTTP 40[134]"):
        Client(ansible_transport(None, 20), scope, lambda: "Bearer ghs_made_up", patience).call(*private)


def test_another_key_is_refused(address: str) -> None:
    stranger = rsa.generate_private_key(65537, 2048)
    with pytest.raises(CiError, match=r"HTTP 401.*app_id and app_key of the same App"):
        signed_in(address, stranger, "Coldaine/ColdVox").call("GET", "/user", "see")


def test_another_app_is_refused(address: str, key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(CiError, match="HTTP 401"):
        signed_in(address, key, "Coldaine/ColdVox", app_id="1").call("GET", "/user", "see")


def test_a_jwt_that_has_expired_is_refused(address: str, key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(CiError, match="HTTP 401"):
        signed_in(address, key, "Coldaine/ColdVox", ahead=-3600).call("GET", "/user", "see")


def test_an_account_without_the_app_is_named(address: str, key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(CiError, match=r"find the App's installation on organization octocat \(HTTP 404\)"):
        signed_in(address, key, "octocat").call("GET", "/user", "see")
