"""HTTP as plain data: a request goes out, an answer comes back, and one rule says whether to try again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Optional, Protocol


class Answer(NamedTuple):
    """What a server said; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


_REASON_LIMIT = 200


class UnreachableError(Exception):
    """No answer came: the reason as the network gave it, free of secrets.

    ``lasting`` is a reason that another attempt cannot remove, such as a certificate that is not trusted.
    """

    def __init__(self, reason: str, *, lasting: bool = False) -> None:
        # Some reasons quote what the peer said, in several lines and of any length.
        super().__init__(" ".join(reason.split())[:_REASON_LIMIT])
        self.lasting = lasting


class Transport(Protocol):
    """Sends one request and returns whatever the server answers; raises UnreachableError when it does not."""

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: Optional[bytes], /
    ) -> Answer: ...


# GitHub asks for at least a minute after a secondary rate limit that names no time
# (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api).
SECONDARY_LIMIT_SECONDS = 60.0
_SERVER_TROUBLE = (500, 502, 503, 504)


def is_rate_limited(answer: Answer) -> bool:
    """Return whether the refusal only says "later": GitHub uses both 403 and 429 for that, and tells some
    secondary limits in its message alone.
    """
    if answer.status == 429:
        return True
    headers = answer.headers
    told = headers.get("x-ratelimit-remaining") == "0" or "retry-after" in headers
    return answer.status == 403 and (told or b"secondary rate limit" in answer.body.lower())


def retry_delay_seconds(answer: Optional[Answer], attempt: int, now: float) -> Optional[float]:
    """Return how long to wait before the next attempt, or None when another one would be pointless.

    ``answer`` is None when the server could not be reached; ``attempt`` counts from 0; ``now`` is Unix time.
    """
    if answer is None:
        return float(2**attempt)
    if is_rate_limited(answer):
        return _limit_delay_seconds(answer.headers, now)
    if answer.status in _SERVER_TROUBLE:
        return _number(answer.headers.get("retry-after"), float(2**attempt))
    return None


def _limit_delay_seconds(headers: Mapping[str, str], now: float) -> float:
    if "retry-after" in headers:
        return _number(headers["retry-after"], SECONDARY_LIMIT_SECONDS)
    if headers.get("x-ratelimit-remaining") == "0":
        return max(1.0, _number(headers.get("x-ratelimit-reset"), now + SECONDARY_LIMIT_SECONDS) - now)
    return SECONDARY_LIMIT_SECONDS


def _number(text: Optional[str], default: float) -> float:
    """Return ``text`` as a number of seconds; Retry-After may also be a date, which GitHub does not use."""
    try:
        return max(0.0, float(text or ""))
    except ValueError:
        return default
