"""The request and answer types of the emulator, without an HTTP library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional
from urllib.parse import parse_qs, urlsplit

DOCUMENTATION = "https://docs.github.com/rest"


@dataclass(frozen=True)
class Request:
    """A request.

    ``headers`` have lower-case names. ``base_url`` is the address that the caller used.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    base_url: str
    # A long poll checks this, so that no job goes to a listener that has died meanwhile.
    connected: Callable[[], bool] = lambda: True

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        values = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        return {name: given[0] for name, given in values.items()}

    def authorization(self) -> tuple[str, str]:
        """Return scheme (lower case) and credential of the Authorization header.

        Both are empty when the header is absent.
        """
        scheme, _, credential = self.headers.get("authorization", "").partition(" ")
        return scheme.lower(), credential.strip()


@dataclass
class Answer:
    """An answer; without ``body`` it is empty.

    ``text`` is sent instead of the JSON body, like a proxy's error page. With ``cut_bytes`` the connection
    ends after that many bytes of the body.
    """

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    text: Optional[str] = None
    cut_bytes: Optional[int] = None

    def encoded(self) -> bytes:
        if self.text is not None:
            return self.text.encode()
        return b"" if self.body is None else json.dumps(self.body).encode()


class RefusedError(Exception):
    """An error answer with GitHub's wording."""

    def __init__(self, status: int, message: str, headers: Optional[Mapping[str, str]] = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})

    def answer(self) -> Answer:
        body = {"message": str(self), "documentation_url": DOCUMENTATION, "status": str(self.status)}
        return Answer(self.status, body, self.headers)


def not_found() -> RefusedError:
    """Return GitHub's error for everything that is absent or hidden from the caller."""
    return RefusedError(404, "Not Found")


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in ``body``, {} when it is empty.

    Raises RefusedError 400 for anything else.
    """
    if not body:
        return {}
    try:
        data = json.loads(body)
    except ValueError:
        raise RefusedError(400, "Problems parsing JSON") from None
    if not isinstance(data, dict):
        raise RefusedError(400, "Body should be a JSON object")
    return data
