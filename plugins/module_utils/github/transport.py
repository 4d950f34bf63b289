"""HTTP for the client: redirects of GitHub, and the transport of hosts, which lack Ansible's HTTP code."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Optional
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit

from .client import Answer, Transport, UnreachableError

# 303 is left out: it means another request, which GitHub's REST API never asks for.
_REDIRECTS = (301, 302, 307, 308)
_MOST_REDIRECTS = 5


def following(send: Transport) -> Transport:
    """Return a transport that follows redirects of ``send`` on the same server.

    GitHub redirects every call about a renamed or transferred repository: docs.github.com/rest, "Follow
    redirects". The request is repeated as it was, with its credential, method and body. A redirect to another
    server is returned as it is, because that server must not get the credential.
    """

    def follow(method: str, url: str, headers: Mapping[str, str], body: Optional[bytes]) -> Answer:
        answer = send(method, url, headers, body)
        for _number in range(_MOST_REDIRECTS):
            place = _next_place(url, answer)
            if place is None:
                break
            url = place
            answer = send(method, url, headers, body)
        return answer

    return follow


def _next_place(url: str, answer: Answer) -> Optional[str]:
    """Return where ``answer`` redirects a request for ``url`` on the same server, else None."""
    if answer.status not in _REDIRECTS:
        return None
    try:
        place = urljoin(url, answer.headers.get("location", ""))
        return place if place != url and _server(place) == _server(url) else None
    except ValueError:  # no address, or an invalid port
        return None


def _server(url: str) -> tuple[str, str, Optional[int]]:
    """Return scheme, host and port of ``url``; raises ValueError for an invalid one."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", port


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Lets each redirect be an answer. urllib's own handler fails at some addresses before it asks."""

    def http_error_302(self, *_answer: Any, **_options: Any) -> None:
        """Handle nothing."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def stdlib_transport(timeout_seconds: float) -> Transport:
    """Return a transport of the standard library.

    It uses the proxy variables of the environment and the certificate authorities of the system.
    """
    opener = urllib.request.build_opener(_NoRedirects)

    def send(method: str, url: str, headers: Mapping[str, str], body: Optional[bytes]) -> Answer:
        request = urllib.request.Request(url, data=body, method=method)  # noqa: S310 - Scope takes http(s) only
        request.add_header("User-Agent", "coldvox-ci")
        for name, value in headers.items():
            request.add_header(name, value)
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

    return following(send)


def _answer(status: int, response: Any) -> Answer:
    headers = {str(name).lower(): str(value) for name, value in response.headers.items()}
    # With a limit, http.client would not notice a truncated response.
    return Answer(status, headers, response.read())
