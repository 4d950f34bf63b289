"""HTTP by the standard library, for hosts, where Ansible's own opener is not installed."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Optional
from urllib.error import HTTPError, URLError

from .http import Answer, Transport, UnreachableError


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
