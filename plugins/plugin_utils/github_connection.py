"""The controller's connection to GitHub: HTTP, signatures and credentials."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Callable, Optional
from urllib.error import HTTPError, URLError

from ansible.module_utils.urls import ConnectionError as OpenerError
from ansible.module_utils.urls import open_url
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.auth import AppCredential, Sign, bearer
from ansible_collections.coldvox.ci.plugins.module_utils.github.client import (
    Answer,
    Client,
    Patience,
    Transport,
    UnreachableError,
)
from ansible_collections.coldvox.ci.plugins.module_utils.github.options import CONNECTION_SPEC
from ansible_collections.coldvox.ci.plugins.module_utils.github.scope import Scope, scope_of

TOKEN_VARIABLE = "COLDVOX_GITHUB_TOKEN"  # noqa: S105 - the name of a variable, not its value
CREDENTIAL_OPTIONS = frozenset(CONNECTION_SPEC.keys() - {"url"})


def ansible_transport(ca_path: Optional[str], timeout_seconds: float) -> Transport:
    """Return a transport that uses the controller's proxies and checks certificates."""

    def send(method: str, url: str, headers: Mapping[str, str], body: Optional[bytes]) -> Answer:
        try:
            response = open_url(
                url,
                data=body,
                headers=dict(headers),
                method=method,
                timeout=timeout_seconds,
                ca_path=ca_path,
                http_agent="coldvox-ci",
                follow_redirects="safe",
                use_netrc=False,
                unredirected_headers=["Authorization"],
            )
            return Answer(response.status, _lowered(response.headers), response.read())
        except HTTPError as error:
            return Answer(error.code, _lowered(error.headers), error.read())
        except URLError as error:
            untrusted = isinstance(error.reason, ssl.SSLCertVerificationError)
            raise UnreachableError(str(error.reason), lasting=untrusted) from error
        except (OSError, HTTPException, OpenerError) as error:
            raise UnreachableError(str(error) or type(error).__name__) from error

    return send


def _lowered(headers: Any) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}


def rs256_signer(pem: str) -> Sign:
    """Return a function that signs with the private key ``pem``.

    The algorithm is RS256: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 section 3.3).
    """
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise CiError(
            "The option app_key is not an unencrypted PEM private key; give the text of the .pem file that "
            "GitHub made for the App."
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise CiError(
            "The option app_key is not an RSA key; give the text of the .pem file that GitHub made for "
            "the App."
        )
    return lambda message: key.sign(message, padding.PKCS1v15(), hashes.SHA256())


def connect(options: Mapping[str, Any], *, writes: bool = False) -> Client:
    """Return a client for the scope and credential in ``options``.

    The options are those of the ``github`` doc fragment. ``writes`` says that the caller may change something
    at GitHub. Raises CiError.
    """
    if not options.get("url"):
        raise CiError(
            "The option url is missing; give the page of the repository, organization or enterprise "
            "at GitHub."
        )
    scope = scope_of(str(options["url"]), str(options.get("api_url") or ""))
    ca_path = options.get("ca_path")
    if ca_path and not os.path.isfile(ca_path):
        raise CiError(
            f"The ca_path '{ca_path}' is not a file on the controller; give a file of PEM certificates there."
        )
    transport = ansible_transport(ca_path, float(options.get("request_timeout_seconds") or 20))
    patience = Patience(sleep=time.sleep, now=time.time)
    authorization = _authorization(options, transport, scope, patience)
    return Client(transport, scope, authorization, patience, writes=writes)


def _authorization(
    options: Mapping[str, Any], transport: Transport, scope: Scope, patience: Patience
) -> Callable[[], str]:
    app_id, app_key = options.get("app_id"), options.get("app_key")
    if bool(app_id) != bool(app_key):
        raise CiError("The options app_id and app_key belong together; give both, or a token.")
    if app_id and app_key:
        return AppCredential(
            transport,
            scope,
            patience,
            app_id=str(app_id),
            sign=rs256_signer(str(app_key)),
            installation_id=options.get("installation_id") or None,
        )
    token = str(options.get("token") or os.environ.get(TOKEN_VARIABLE, "")).strip()
    if not token:
        raise CiError(
            f"There is no credential for {scope.label}; give token, or app_id and app_key, or set "
            f"{TOKEN_VARIABLE} in the environment of the controller."
        )
    return bearer(token, scope)
