"""Credentials for GitHub's REST API: a token, or the key of a GitHub App.

An App signs a short-lived JWT and exchanges it for an installation token, which is valid for one hour.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Callable, Optional

from ..errors import CiError
from .client import APP, Client, Patience, Transport
from .scope import Scope

Sign = Callable[[bytes], bytes]
# GitHub allows at most ten minutes, and advises to date the start back against clock drift
# (docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token…).
_BACKDATED_SECONDS = 60
_VALID_SECONDS = 540
# An installation token is valid for one hour. Renew it so early that no call, with all its retries, meets an
# expired one. Count from the request for the token, because the controller's clock may be wrong.
_RENEW_AFTER_SECONDS = 3000


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def app_jwt(app_id: str, sign: Sign, now: float) -> str:
    """Return the RS256 JSON Web Token (RFC 7519) that identifies the App.

    ``sign`` returns the signature of its argument by the App's private key; ``now`` is Unix time.
    """
    header = {"alg": "RS256", "typ": "JWT"}
    claims = {"iat": int(now) - _BACKDATED_SECONDS, "exp": int(now) + _VALID_SECONDS, "iss": app_id}
    parts = [_encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims)]
    message = b".".join(parts)
    return b".".join([message, _encoded(sign(message))]).decode()


class AppCredential:
    """An App's installation token, as the value of the header Authorization.

    The first call requests the token, and a later call renews it before it expires. It stays in memory.
    """

    def __init__(
        self,
        transport: Transport,
        scope: Scope,
        patience: Patience,
        *,
        app_id: str,
        sign: Sign,
        installation_id: Optional[str] = None,
    ) -> None:
        if scope.kind == "enterprise":
            raise CiError(
                f"GitHub Apps cannot manage the runners of {scope.label}; give a classic token with the "
                "scope manage_runners:enterprise."
            )
        self._scope = scope
        self._installation_id = installation_id
        self._token = ""
        self._renew_at = 0.0
        self._now = patience.now
        self._app_client = Client(
            transport, scope, lambda: "Bearer " + app_jwt(app_id, sign, patience.now()), patience
        )

    def __call__(self) -> str:
        now = self._now()
        if not self._token or now >= self._renew_at:
            self._token, self._renew_at = self._request_token(), now + _RENEW_AFTER_SECONDS
        return f"Bearer {self._token}"

    def _request_token(self) -> str:
        self._installation_id = self._installation_id or str(self._installation()["id"])
        path = f"/app/installations/{self._installation_id}/access_tokens"
        answer = self._app_client.call(
            "POST", path, "give the App a token for", body={}, expected=("token",), area=APP
        )
        return str(answer["token"])

    def _installation(self) -> Any:
        return self._app_client.call(
            "GET",
            f"{self._scope.path}/installation",
            "find the App's installation on",
            expected=("id",),
            area=APP,
        )


# docs.github.com/authentication/keeping-your-account-and-data-secure/about-authentication-to-github.
_NOT_FOR_ENTERPRISES = ("github_pat_", "ghs_")


def bearer(token: str, scope: Scope) -> Callable[[], str]:
    """Return a function that returns the header value for ``token``.

    Raises CiError for a token that cannot work in ``scope``.
    """
    if scope.kind == "enterprise" and token.startswith(_NOT_FOR_ENTERPRISES):
        raise CiError(
            f"GitHub does not accept fine-grained or App tokens for {scope.label}; give a classic token with "
            "the scope manage_runners:enterprise."
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        # Reject it here, because the error of the HTTP library would quote the whole header.
        raise CiError(
            "The GitHub token has characters that no token has; copy it again, without any space or "
            "quote around it."
        )
    return lambda: f"Bearer {token}"
