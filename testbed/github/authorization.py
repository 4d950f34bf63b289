"""Authentication and permissions, with GitHub's error messages."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Optional

from . import jwt
from .clock import Moment
from .exchange import RefusedError, Request
from .registration import check_token
from .rest.call import Operation
from .state import Credential, GitHubState, Scope

# GitHub refuses an app assertion that lives longer than ten minutes; a minute of clock drift is allowed.
MAX_ASSERTION_SECONDS = 660


@dataclass(frozen=True)
class Caller:
    """The sender of a request.

    It is a credential, an App that signs with its key, or config.sh with a token for ``scope``.
    """

    credential: Credential
    app_id: Optional[int] = None
    scope: Optional[Scope] = None


def authenticate(
    state: GitHubState, request: Request, operation: Optional[Operation], moment: Moment
) -> Caller:
    """Return the caller of ``operation``.

    Raises RefusedError 401, or 404 for an invalid runner token.
    """
    scheme, token = request.authorization()
    if scheme == "remoteauth":
        return _runner_token(state, token, operation, moment)
    if operation is not None and operation.access == "app":
        return Caller(Credential(), _app_id(state, token, moment))
    if operation is not None and operation.access == "public" and not scheme:
        return Caller(Credential(permissions={}))
    known = state.credentials.get(_password(token) if scheme == "basic" else token)
    if scheme not in ("bearer", "token", "basic") or known is None:
        raise _unauthorized("Requires authentication" if not token else "Bad credentials")
    if known.expires_at is not None and known.expires_at <= moment.now:
        raise _unauthorized("Bad credentials")
    return Caller(known)


def authorize(caller: Caller, operation: Operation) -> None:
    """Raise RefusedError 403 when the caller lacks the permission of ``operation``."""
    if caller.credential.allows(operation.permission, operation.level) or operation.permission == "metadata":
        return
    kind = "integration" if caller.credential.installation else "personal access token"
    wanted = f"{operation.permission}={operation.level}"
    raise RefusedError(403, f"Resource not accessible by {kind}", {"X-Accepted-GitHub-Permissions": wanted})


def _runner_token(state: GitHubState, token: str, operation: Optional[Operation], moment: Moment) -> Caller:
    if operation is None or operation.runner_token is None:
        raise _unauthorized("Bad credentials")
    return Caller(Credential(), scope=check_token(state, token, operation.runner_token, moment))


def _password(token: str) -> str:
    try:
        return base64.b64decode(token).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _app_id(state: GitHubState, token: str, moment: Moment) -> int:
    try:
        claims, _, _ = jwt.decode(token)
        app = state.apps.get(int(claims["iss"]))
        if app is None:
            raise RefusedError(404, "Integration not found")
        jwt.verify(token, jwt.key_from_pem(app.public_key))
        issued, expires = int(claims["iat"]), int(claims["exp"])
    except (jwt.InvalidTokenError, KeyError, ValueError):
        raise _unauthorized("A JSON web token could not be decoded") from None
    now = moment.now.timestamp()
    if expires <= now:
        raise _unauthorized(
            "'Expiration time' claim ('exp') must be a numeric value representing the future time "
            "at which the assertion expires"
        )
    if expires - now > MAX_ASSERTION_SECONDS:
        raise _unauthorized("'Expiration time' claim ('exp') is too far in the future")
    if issued > now + 60:
        raise _unauthorized(
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
        )
    state.assertions.append(token)
    return app.id


def _unauthorized(message: str) -> RefusedError:
    return RefusedError(401, message)
