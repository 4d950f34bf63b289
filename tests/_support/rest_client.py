"""A client of the emulator's REST API, for tests."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Optional
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from testbed.github.seed import ADMIN_TOKEN
from testbed.github.server import Running

REPOSITORY = "/repos/Coldaine/ColdVox"
ORGANIZATION = "/orgs/Coldaine"
ENTERPRISE = "/enterprises/Coldaine-Works"


class Reply(NamedTuple):
    status: int
    body: Any
    headers: dict[str, str]


class Rest:
    """A client of the REST API; a call returns status, body and headers."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self._opener = build_opener(ProxyHandler({}))

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: Optional[str] = ADMIN_TOKEN,
        scheme: str = "Bearer",
        raw: Optional[bytes] = None,
        base: Optional[str] = None,
    ) -> Reply:
        data = raw if raw is not None else (None if body is None else json.dumps(body).encode())
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"{scheme} {token}"
        request = Request((base or self.server.api_url) + path, data, headers, method=method)
        try:
            with self._opener.open(request, timeout=20) as response:
                return self._reply(response.status, response.read(), dict(response.headers))
        except HTTPError as error:
            return self._reply(error.code, error.read(), dict(error.headers))

    @staticmethod
    def _reply(status: int, content: bytes, headers: dict[str, str]) -> Reply:
        return Reply(status, json.loads(content) if content else None, headers)

    def jit(self, name: str, labels: Optional[list[str]] = None, scope: str = REPOSITORY) -> dict[str, Any]:
        """Register a runner without a runner program."""
        body = {"name": name, "runner_group_id": 1, "labels": labels or ["self-hosted", "fast"]}
        reply = self("POST", f"{scope}/actions/runners/generate-jitconfig", body)
        assert reply.status == 201, reply
        return dict(reply.body["runner"])
