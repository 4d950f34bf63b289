"""One conversation with GitHub's REST API: retries within a bound, and refusals as sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional
from urllib.parse import urlencode

from ..errors import CiError
from .http import Answer, Transport, UnreachableError, is_rate_limited, retry_delay_seconds
from .refusal import RUNNERS, need, refusal
from .scope import Scope

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
