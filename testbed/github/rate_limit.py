"""GitHub's primary rate limit: a number of requests per credential and hour."""

from __future__ import annotations

from dataclasses import dataclass

from .clock import Moment
from .exchange import RefusedError
from .state import GitHubState

WINDOW_SECONDS = 3600


@dataclass(frozen=True)
class RateLimit:
    """The limit of one credential; ``reset`` is in seconds since the epoch."""

    limit: int
    used: int
    reset: int

    @property
    def remaining(self) -> int:
        return max(self.limit - self.used, 0)

    def body(self) -> dict[str, int]:
        return {"limit": self.limit, "used": self.used, "remaining": self.remaining, "reset": self.reset}

    def headers(self) -> dict[str, str]:
        named = {f"X-RateLimit-{name.capitalize()}": str(value) for name, value in self.body().items()}
        return {**named, "X-RateLimit-Resource": "core"}


def rate_limit(state: GitHubState, credential: str, moment: Moment) -> RateLimit:
    """Return the current limit of ``credential``."""
    window = int(moment.now.timestamp()) // WINDOW_SECONDS
    used = state.requests_used.get(_key(credential, window), 0)
    return RateLimit(state.requests_limit, used, (window + 1) * WINDOW_SECONDS)


def count_request(state: GitHubState, credential: str, moment: Moment) -> RateLimit:
    """Count one request; raises RefusedError 403 when none is left."""
    before = rate_limit(state, credential, moment)
    if before.remaining == 0:
        raise RefusedError(403, "API rate limit exceeded for this credential.", before.headers())
    window = int(moment.now.timestamp()) // WINDOW_SECONDS
    state.requests_used[_key(credential, window)] = before.used + 1
    return RateLimit(before.limit, before.used + 1, before.reset)


def _key(credential: str, window: int) -> str:
    return f"{window}:{credential}"
