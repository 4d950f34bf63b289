"""A client for GitHub's REST API: retries, error messages, and HTTP for hosts.

The transport is an argument. ``stdlib_transport`` is the one for hosts, which lack Ansible's own HTTP code.
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
    """The response of a server; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


_REASON_LIMIT = 200


class UnreachableError(Exception):
    """No response came. The message is the network's reason, without secrets.

    ``lasting`` is true for a reason that another attempt cannot remove, such as an untrusted certificate.
    """

    def __init__(self, reason: str, *, lasting: bool = False) -> None:
        # Some reasons quote the peer, in several lines and of any length.
        super().__init__(" ".join(reason.split())[:_REASON_LIMIT])
        self.lasting = lasting


class Transport(Protocol):
    """A function that sends one request and returns the response.

    Raises UnreachableError without a response.
    """

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: Optional[bytes], /
    ) -> Answer: ...


# GitHub asks for at least a minute after a secondary rate limit that names no time
# (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api).
SECONDARY_LIMIT_SECONDS = 60.0
_SERVER_ERRORS = (500, 502, 503, 504)


def is_rate_limited(answer: Answer) -> bool:
    """Return whether GitHub refused the request because of a rate limit.

    GitHub uses 403 and 429 for that, and names some secondary limits only in the message.
    """
    if answer.status == 429:
        return True
    headers = answer.headers
    limited = headers.get("x-ratelimit-remaining") == "0" or "retry-after" in headers
    return answer.status == 403 and (limited or b"secondary rate limit" in answer.body.lower())


def retry_delay_seconds(answer: Optional[Answer], attempt: int, now: float) -> Optional[float]:
    """Return the seconds to wait before the next attempt; None when it is pointless.

    ``answer`` is None when the server was unreachable; ``attempt`` counts from 0; ``now`` is Unix time.
    """
    if answer is None:
        return float(2**attempt)
    if is_rate_limited(answer):
        return _limit_delay_seconds(answer.headers, now)
    if answer.status in _SERVER_ERRORS:
        return _number(answer.headers.get("retry-after"), float(2**attempt))
    return None


def _limit_delay_seconds(headers: Mapping[str, str], now: float) -> float:
    if "retry-after" in headers:
        return _number(headers["retry-after"], SECONDARY_LIMIT_SECONDS)
    if headers.get("x-ratelimit-remaining") == "0":
        return max(1.0, _number(headers.get("x-ratelimit-reset"), now + SECONDARY_LIMIT_SECONDS) - now)
    return SECONDARY_LIMIT_SECONDS


def _number(text: Optional[str], default: float) -> float:
    """Return ``text`` as seconds.

    Retry-After may also be a date, which GitHub does not use: it gives the default.
    """
    try:
        return max(0.0, float(text or ""))
    except ValueError:
        return default


#: The area of a call decides which permission it needs.
RUNNERS, VARIABLES, JOBS, APP, METADATA = "runners", "variables", "jobs", "app", "metadata"

# docs.github.com/rest/authentication/permissions-required-for-fine-grained-personal-access-tokens, and the
# classic scopes as each endpoint's page names them.
_FINE = {
    (RUNNERS, "repository"): ("Administration", "repo"),
    (RUNNERS, "organization"): ("Self-hosted runners", "admin:org"),
    (VARIABLES, "repository"): ("Variables", "repo"),
    (VARIABLES, "organization"): ("Variables (organization)", "admin:org"),
    (JOBS, "repository"): ("Actions", "repo"),
    (METADATA, "repository"): ("Metadata", "repo"),
}
_CLASSIC = {
    (RUNNERS, "enterprise"): "the classic scope 'manage_runners:enterprise', which no App or fine-grained "
    "token can have",
}
_MESSAGE_LIMIT = 200


def permission_needed(area: str, scope: Scope, level: str) -> str:
    """Return the permission that a call of ``area`` to ``scope`` needs.

    ``level`` is ``read`` or ``read and write``, as GitHub's page of a token calls it.
    """
    if area == APP:
        return "the App installed there, app_id and app_key of the same App, and a correct clock"
    if (area, scope.kind) in _CLASSIC:
        return _CLASSIC[area, scope.kind]
    permission, classic = _FINE[area, scope.kind]
    return f"'{permission}: {level}' (GitHub App or fine-grained token) or the classic scope '{classic}'"


def refusal_message(scope: Scope, intent: str, answer: Answer, needed: str, attempts: int = 1) -> str:
    """Return the error message for the refusal ``answer``.

    ``intent`` says what was attempted ("list the runners of"); ``needed`` names the permission for it.
    """
    head = f"GitHub at {scope.api_url} refused to {intent} {scope.label} (HTTP {answer.status})"
    return f"{head}: {_reason(answer, f'it needs {needed}', attempts)}."


def _reason(answer: Answer, needs: str, attempts: int) -> str:
    if is_rate_limited(answer):
        return "the rate limit is used up; run again later or use a GitHub App, which has a limit of its own"
    if answer.status == 401:
        return (
            f"the credential is wrong, expired or revoked{_github_message(answer)}; give a valid one, {needs}"
        )
    if answer.status == 403 and answer.headers.get("x-github-sso", "").startswith("required"):
        return "the organization asks for single sign-on; authorize the token for it on its page at GitHub"
    if answer.status == 403:
        return f"the credential lacks the permission{_github_message(answer)}; {needs}"
    if answer.status == 404:
        return f"it does not exist or the credential cannot see it; check the url; {needs}"
    if answer.status >= 500:
        return f"the server failed ({attempts} attempts); see githubstatus.com and run again"
    return f"the request is not valid{_github_message(answer)}; correct the options that it names"


def _github_message(answer: Answer) -> str:
    """Return GitHub's own message in brackets, or an empty text."""
    try:
        message = json.loads(answer.body)["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    text = " ".join(str(message).split())[:_MESSAGE_LIMIT].rstrip(".")
    return f" ({text})" if text else ""


API_VERSION = "2022-11-28"
PAGE_SIZE = 100  # the most that GitHub returns


@dataclass(frozen=True)
class Patience:
    """Limits for one call with all its retries.

    ``sleep`` and ``now`` (Unix time) are replaced in tests.
    """

    sleep: Callable[[float], None]
    now: Callable[[], float]
    attempts: int = 4
    total_seconds: float = 90.0


class Client:
    """A client for the API of one scope.

    ``authorization`` returns the header value. It is called only when a request is sent. A client that
    ``writes`` names the permission for that also when it fails to read. An error that another attempt may
    remove has the detail ``may_pass``.
    """

    def __init__(
        self,
        transport: Transport,
        scope: Scope,
        authorization: Callable[[], str],
        patience: Patience,
        *,
        writes: bool = False,
    ) -> None:
        self.scope = scope
        self._writes = writes
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
        """Send the request and return the decoded JSON; None for an empty response.

        ``intent`` completes "refused to … <scope>". A status in ``accepted`` gives None instead of CiError.
        ``expected`` names members that the response must have. ``area`` decides which permission an error
        names.
        """
        url = self.scope.api_url + path + (f"?{urlencode(query)}" if query else "")
        answer, attempts = self._send_with_retries(
            method, url, intent, None if body is None else json.dumps(body).encode()
        )
        if answer.status in accepted and not is_rate_limited(answer):
            return None
        if not 200 <= answer.status < 300:
            level = "read" if method == "GET" and not self._writes else "read and write"
            raise CiError(
                refusal_message(
                    self.scope, intent, answer, permission_needed(area, self.scope, level), attempts
                ),
                status=answer.status,
                **({"may_pass": True} if answer.status >= 500 or is_rate_limited(answer) else {}),
            )
        data = self._decode(answer, intent)
        if expected and not (isinstance(data, dict) and data.keys() >= set(expected)):
            raise self._unexpected(intent, f"has no '{expected[0]}'")
        return data

    def items(
        self,
        path: str,
        key: str,
        intent: str,
        *,
        page_size: int = PAGE_SIZE,
        query: Optional[Mapping[str, object]] = None,
        area: str = RUNNERS,
        accepted: tuple[int, ...] = (),
    ) -> Iterator[Any]:
        """Yield the items under ``key`` on all pages; request each page when needed.

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
            raise self._unexpected(intent, "is not JSON") from error

    def _unexpected(self, intent: str, fault: str) -> CiError:
        return CiError(
            f"The answer of {self.scope.api_url} to the attempt to {intent} {self.scope.label} {fault}; "
            "check that api_url is the root of a GitHub REST API and that no proxy responds in its place."
        )

    def _send_with_retries(
        self, method: str, url: str, intent: str, body: Optional[bytes]
    ) -> tuple[Answer, int]:
        """Return the response that needs no retry, and the number of attempts."""
        headers = self._headers(body)
        waited = 0.0
        attempt = 0
        while True:
            answer, failure = self._attempt(method, url, headers, body)
            delay = retry_delay_seconds(answer, attempt, self._patience.now())
            attempt += 1
            if failure and failure.lasting:
                break
            spent = (
                attempt >= self._patience.attempts or waited + (delay or 0.0) > self._patience.total_seconds
            )
            if delay is None or spent:
                break
            self._patience.sleep(delay)
            waited += delay
        if answer is None:
            lasting = failure is not None and failure.lasting
            counted = "1 attempt" if attempt == 1 else f"{attempt} attempts"
            raise CiError(
                f"GitHub at {self.scope.api_url} could not be reached to {intent} {self.scope.label} "
                f"({failure}; {counted}); check the network, the proxy, api_url and ca_path of the "
                "controller.",
                **({} if lasting else {"may_pass": True}),
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
    """Return a transport of the standard library.

    It uses the proxy variables of the environment and the certificate authorities of the system.
    """
    opener = urllib.request.build_opener()

    def send(method: str, url: str, headers: Mapping[str, str], body: Optional[bytes]) -> Answer:
        request = urllib.request.Request(url, data=body, method=method)  # noqa: S310 - Scope takes http(s) only
        request.add_header("User-Agent", "coldvox-ci")
        for name, value in headers.items():
            # A redirect leads to another server, which must not get the credential.
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
    # With a limit, http.client would not notice a truncated response.
    return Answer(status, headers, response.read())
