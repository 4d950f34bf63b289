"""A token as a credential: what GitHub would refuse anyway is told before anything is sent."""

from __future__ import annotations

from typing import Callable

from ..errors import CiError
from .scope import Scope

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
