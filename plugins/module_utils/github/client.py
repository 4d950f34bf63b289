"""One conversation with GitHub's REST API: retries within a bound, and refusals as sentences.

HTTP as plain data: a request goes out, an answer comes back, and one rule says whether to try again.

Turns GitHub's refusals into one sentence with scope, status, and the permission that is needed.

HTTP by the standard library, for hosts, where Ansible's own opener is not installed.
"""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Callable, NamedTuple, Optional, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode

from ..errors import CiError
from .scope import Scope


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


#: What a call is about, which decides the permission that it takes.
RUNNERS, VARIABLES, JOBS, APP = "runners", "variables", "jobs", "app"

# docs.github.com/rest/authentication/permissions-required-for-fine-grained-personal-access-tokens, and the
# classic scopes as each endpoint's page names them.
_FINE = {
    (RUNNERS, "repository"): ("Administration", "repo"),
    (RUNNERS, "organization"): ("Self-hosted runners", "admin:org"),
    (VARIABLES, "repository"): ("Variables", "repo"),
    (VARIABLES, "organization"): ("Variables (organization)", "admin:org"),
    (JOBS, "repository"): ("Actions", "repo"),
}
_CLASSIC = {
    (RUNNERS, "enterprise"): "the classic scope 'manage_runners:enterprise', which no App or fine-grained "
    "token can have",
}
_MESSAGE_LIMIT = 200


def need(area: str, scope: Scope, level: str) -> str:
    """Return what a credential needs for calls of ``area`` to ``scope``; ``level`` is read or write."""
    if area == APP:
        return "the App installed there, app_id and app_key of the same App, and a right clock"
    if (area, scope.kind) in _CLASSIC:
        return _CLASSIC[area, scope.kind]
    permission, classic = _FINE[area, scope.kind]
    return f"'{permission}: {level}' (GitHub App or fine-grained token) or the classic scope '{classic}'"


def refusal(scope: Scope, intent: str, answer: Answer, needed: str, attempts: int = 1) -> str:
    """Return the sentence for ``answer`` to the attempt to ``intent`` ("list the runners of") on
    ``scope``, which takes what ``needed`` says.
    """
    head = f"GitHub at {scope.api_url} refused to {intent} {scope.label} (HTTP {answer.status})"
    return f"{head}: {_reason(answer, f'it needs {needed}', attempts)}."


def _reason(answer: Answer, needs: str, attempts: int) -> str:
    if is_rate_limited(answer):
        return "the rate limit is used up; run again later or use a GitHub App, which has a limit of its own"
    if answer.status == 401:
        return f"the credential is wrong, expired or revoked{_said(answer)}; give a valid one, {needs}"
    if answer.status == 403 and answer.headers.get("x-github-sso", "").startswith("required"):
        return "the organization asks for single sign-on; authorize the token for it on its page at GitHub"
    if answer.status == 403:
        return f"the credential lacks the permission{_said(answer)}; {needs}"
    if answer.status == 404:
        return f"it does not exist or the credential cannot see it; check the url; {needs}"
    if answer.status >= 500:
        return f"the server is in trouble, {attempts} attempts were made; see githubstatus.com and run again"
    return f"the request was not accepted{_said(answer)}"


def _said(answer: Answer) -> str:
    """Return GitHub's own message in brackets, when it sent one."""
    try:
        message = json.loads(answer.body)["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    text = " ".join(str(message).split())[:_MESSAGE_LIMIT].rstrip(".")
    return f" ({text})" if text else ""


API_VERSION = "2022-11-28"


@dataclass(frozen=True)
class Patience:
    """How long a call may take in all; ``sleep`` and ``now`` (Unix time) are the world's, or a test's."""

    sleep: Callable[[float], None]
    now: Callable[[], float]
    attempts: int = 4
    total_seconds: float = 90.0


class Client:
    """Calls the API of one scope; ``authorization`` gives the header value, and is asked only when needed."""

    def __init__(
        self, transport: Transport, scope: Scope, authorization: Callable[[], str], patience: Patience
    ) -> None:
        self.scope = scope
        self._transport = transport
        self._authorization = authorization
        self._patience = patience

    def call(
        self,
        method: str,
        path: str,
        intent: str,
        *,
        query: Optional[Mapping[str, object]] = None,
        body: Optional[Mapping[str, Any]] = None,
        accepted: tuple[int, ...] = (),
        expected: Sequence[str] = (),
        area: str = RUNNERS,
    ) -> Any:
        """Send the request and return the decoded JSON (None for an empty answer).

        ``intent`` completes "refused to … <scope>"; a status in ``accepted`` gives None instead of CiError;
        ``expected`` are members that the answer must have; ``area`` says which permission it takes.
        """
        url = self.scope.api_url + path + (f"?{urlencode(query)}" if query else "")
        answer, attempts = self._persist(
            method, url, intent, None if body is None else json.dumps(body).encode()
        )
        if answer.status in accepted and not is_rate_limited(answer):
            return None
        if not 200 <= answer.status < 300:
            level = "read" if method == "GET" else "write"
            raise CiError(
                refusal(self.scope, intent, answer, need(area, self.scope, level), attempts),
                status=answer.status,
            )
        data = self._decode(answer, intent)
        if expected and not (isinstance(data, dict) and data.keys() >= set(expected)):
            raise self._foreign(intent, f"has no '{expected[0]}'")
        return data

    def items(
        self,
        path: str,
        key: str,
        intent: str,
        *,
        page_size: int,
        query: Optional[Mapping[str, object]] = None,
        area: str = RUNNERS,
        accepted: tuple[int, ...] = (),
    ) -> Iterator[Any]:
        """Yield what is listed under ``key`` on all pages; the next page is asked when it is needed.

        A status in ``accepted`` ends the list.
        """
        page, seen = 0, 0
        while True:
            page += 1
            paging = {**(query or {}), "per_page": page_size, "page": page}
            answer = self.call(
                "GET",
                path,
                intent,
                query=paging,
                expected=(key, "total_count"),
                area=area,
                accepted=accepted,
            )
            if answer is None:
                return
            yield from answer[key]
            seen += len(answer[key])
            if not answer[key] or seen >= int(answer["total_count"]):
                return

    def _decode(self, answer: Answer, intent: str) -> Any:
        if not answer.body.strip():
            return None
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise self._foreign(intent, "is not JSON") from error

    def _foreign(self, intent: str, fault: str) -> CiError:
        return CiError(
            f"The answer of {self.scope.api_url} to the attempt to {intent} {self.scope.label} {fault}; "
            "check that api_url is the root of a GitHub REST API and that no proxy answers in its place."
        )

    def _persist(self, method: str, url: str, intent: str, body: Optional[bytes]) -> tuple[Answer, int]:
        """Return the first answer that is worth returning, and the number of attempts it took."""
        headers = self._headers(body)
        waited = 0.0
        attempt = 0
        while True:
            answer, trouble = self._attempt(method, url, headers, body)
            delay = retry_delay_seconds(answer, attempt, self._patience.now())
            attempt += 1
            if trouble and trouble.lasting:
                break
            spent = (
                attempt >= self._patience.attempts or waited + (delay or 0.0) > self._patience.total_seconds
            )
            if delay is None or spent:
                break
            self._patience.sleep(delay)
            waited += delay
        if answer is None:
            counted = "1 attempt" if attempt == 1 else f"{attempt} attempts"
            raise CiError(
                f"GitHub at {self.scope.api_url} could not be reached to {intent} {self.scope.label} "
                f"({trouble}; {counted}); check the network, the proxy, api_url and ca_path of the "
                "controller."
            )
        return answer, attempt

    def _attempt(
        self, method: str, url: str, headers: Mapping[str, str], body: Optional[bytes]
    ) -> tuple[Optional[Answer], Optional[UnreachableError]]:
        try:
            return self._transport(method, url, headers, body), None
        except UnreachableError as error:
            return None, error

    def _headers(self, body: Optional[bytes]) -> dict[str, str]:
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": self._authorization(),
            "X-GitHub-Api-Version": API_VERSION,
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        return headers


def stdlib_transport(timeout_seconds: float) -> Transport:
    """Return a transport that follows the proxy variables of the environment, and trusts whom the system
    trusts.
    """
    opener = urllib.request.build_opener()

    def send(method: str, url: str, headers: Mapping[str, str], body: Optional[bytes]) -> Answer:
        request = urllib.request.Request(url, data=body, method=method)  # noqa: S310 - Scope takes http(s) only
        request.add_header("User-Agent", "coldvox-ci")
        for name, value in headers.items():
            # A redirect leads elsewhere, and the credential is not for there.
            secret = name.lower() == "authorization"
            (request.add_unredirected_header if secret else request.add_header)(name, value)
        try:
            with opener.open(request, timeout=timeout_seconds) as response:
                return _answer(response.status, response)
        except HTTPError as error:
            with error:
                return _answer(error.code, error)
        except URLError as error:
            untrusted = isinstance(error.reason, ssl.SSLCertVerificationError)
            raise UnreachableError(str(error.reason), lasting=untrusted) from error
        except (OSError, HTTPException) as error:
            raise UnreachableError(str(error) or type(error).__name__) from error

    return send


def _answer(status: int, response: Any) -> Answer:
    headers = {str(name).lower(): str(value) for name, value in response.headers.items()}
    # With a limit, http.client would not notice an answer that was cut off.
    return Answer(status, headers, response.read())
