"""HTTP requests to GitHub or to its emulator."""

from __future__ import annotations

import http.client
import json
from typing import Any, Optional
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from .basics import version

# The names that .NET gives these status codes; they appear in messages that people search for.
REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    422: "UnprocessableEntity",
    429: "TooManyRequests",
    500: "InternalServerError",
    502: "BadGateway",
    503: "ServiceUnavailable",
}


class AnsweredError(Exception):
    """The server answered with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class UnreachableError(Exception):
    """The server did not answer."""


def api_base(github_url: str) -> str:
    """Return the URL of the REST API that belongs to a ``--url``.

    The original drops the port, so it works with 80 and 443 only; this one keeps it for the testbed.
    """
    parts = urlsplit(github_url)
    host = (parts.hostname or "").lower()
    hosted = host in ("github.com", "www.github.com", "github.localhost")
    if hosted or host.endswith((".ghe.com", ".ghe.localhost")):
        return f"{parts.scheme}://api.{parts.netloc}"
    return f"{parts.scheme}://{parts.netloc}/api/v3"


class Transport:
    """The sender of requests, without a proxy: the server is on the same machine."""

    def __init__(self) -> None:
        self._opener = build_opener(ProxyHandler({}))

    def call(
        self,
        method: str,
        url: str,
        *,
        authorization: Optional[str] = None,
        body: Any = None,
        form: Optional[str] = None,
        timeout_seconds: float = 30,
    ) -> Any:
        """Return the decoded answer, or None for an empty one.

        Raises AnsweredError and UnreachableError.
        """
        headers = {"User-Agent": f"GitHubActionsRunner-linux-x64/{version()}", "Accept": "application/json"}
        if authorization:
            headers["Authorization"] = authorization
        data = None
        if form is not None:
            data, headers["Content-Type"] = form.encode(), "application/x-www-form-urlencoded"
        elif body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        request = Request(url, data, headers, method=method)
        try:
            with self._opener.open(request, timeout=timeout_seconds) as response:
                content = response.read()
        except HTTPError as error:
            raise AnsweredError(error.code, _error_message(method, url, error)) from None
        except (URLError, http.client.HTTPException, OSError) as error:
            raise UnreachableError(f"{getattr(error, 'reason', error)} ({urlsplit(url).netloc})") from None
        return json.loads(content) if content else None


def _error_message(method: str, url: str, error: HTTPError) -> str:
    reason = REASONS.get(error.code, str(error.code))
    request_id = error.headers.get("X-GitHub-Request-Id", "")
    body = error.read().decode(errors="replace")
    return (
        f"Http response code: {reason} from '{method} {url}' (Request Id: {request_id})\n{body}\n"
        f"Response status code does not indicate success: {error.code} ({error.reason})."
    )
