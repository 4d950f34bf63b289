"""The listener's connection to GitHub's job queue."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlencode

from . import registration, rsa
from .basics import version
from .transport import AnsweredError, Transport

POLL_TIMEOUT_SECONDS = 30.0


class Broker:
    """The connection of one registered runner.

    Its methods raise AnsweredError and UnreachableError.
    """

    def __init__(self, root: Path, server_url: str) -> None:
        self._transport = Transport()
        self._server = server_url.rstrip("/")
        credentials = registration.read(root / registration.CREDENTIALS)["data"]
        data = {key.lower(): value for key, value in credentials.items()}
        self._client_id = str(data["clientid"])
        self._authorization_url = str(data["authorizationurl"])
        self._key = registration.read_exactly(root / registration.KEY)
        self._token = ""
        self._session: Optional[str] = None

    def open(self) -> None:
        """Get an access token and open a session.

        An AnsweredError with 400 means that the registration is gone, 409 that a session is already open.
        """
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": rsa.assertion(self._key, self._client_id, self._authorization_url),
        }
        answer = self._transport.call("POST", self._authorization_url, form=urlencode(form))
        self._token = answer["access_token"]
        described = {"version": version(), "os": platform.system().lower()}
        self._session = self._call("POST", "/session", described)["sessionId"]

    def close(self) -> None:
        """End the session, if it is open and the server still knows it."""
        if self._session is None:
            return
        try:
            self._call("DELETE", f"/session/{self._session}", timeout_seconds=5)
        except AnsweredError:
            return
        finally:
            self._session = None

    def next_job(self) -> Optional[dict[str, Any]]:
        """Wait for a job; return None when none came within the server's poll time."""
        message = self._call(
            "GET", f"/message?sessionId={self._session}", timeout_seconds=POLL_TIMEOUT_SECONDS
        )
        return dict(message["body"]) if message else None

    def renew(self, job: dict[str, Any]) -> None:
        """Report that the job still runs."""
        report(self._transport, self._server, job, "renewed")

    def finish(self, job: dict[str, Any], conclusion: str, log: str) -> None:
        """Report a job whose worker could not do so."""
        report(self._transport, self._server, job, "completed", {"conclusion": conclusion, "log": log})

    def _call(self, method: str, path: str, body: Any = None, timeout_seconds: float = 30) -> Any:
        return self._transport.call(
            method,
            self._server + path,
            authorization=f"Bearer {self._token}",
            body=body,
            timeout_seconds=timeout_seconds,
        )


def report(
    transport: Transport, server: str, job: dict[str, Any], event: str, body: Optional[dict[str, Any]] = None
) -> None:
    """Report an event of a job to the server, with the job's own token."""
    address = f"{server.rstrip('/')}/jobs/{job['id']}/{event}"
    transport.call("POST", address, authorization=f"Bearer {job['token']}", body=body or {})
