"""Signing in as a GitHub App: a short-lived JWT buys an installation token, which lives one hour.

A token as a credential: what GitHub would refuse anyway is told before anything is sent.
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
_LIFE_SECONDS = 540
# An installation token lives one hour; its successor is bought so early that no call, with all its retries,
# outlives the old one. Counted from the purchase, so that the controller's clock may be wrong.
_RENEWED_AFTER_SECONDS = 3000


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def app_jwt(app_id: str, sign: Sign, now: float) -> str:
    """Return the RS256 JSON Web Token (RFC 7519) that identifies the App; ``sign`` holds the private key."""
    header = {"alg": "RS256", "typ": "JWT"}
    claims = {"iat": int(now) - _BACKDATED_SECONDS, "exp": int(now) + _LIFE_SECONDS, "iss": app_id}
    parts = [_encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims)]
    message = b".".join(parts)
    return b".".join([message, _encoded(sign(message))]).decode()


class AppCredential:
    """Gives the header value of an App's installation token, bought at the first use, renewed before its end,
    and kept in memory only.
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
            self._token, self._renew_at = self._buy(), now + _RENEWED_AFTER_SECONDS
        return f"Bearer {self._token}"

    def _buy(self) -> str:
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
    """Return what gives the header value of ``token``; raises CiError for one that cannot work in
    ``scope``.
    """
    if scope.kind == "enterprise" and token.startswith(_NOT_FOR_ENTERPRISES):
        raise CiError(
            f"GitHub does not accept fine-grained or App tokens for {scope.label}; give a classic token with "
            "the scope manage_runners:enterprise."
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        # Said here, because the HTTP library would quote the whole header in its complaint.
        raise CiError(
            "The GitHub token has characters that no token has; was it copied with something around it?"
        )
    return lambda: f"Bearer {token}"
