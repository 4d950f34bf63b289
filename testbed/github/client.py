"""A client of the emulator's administrative routes."""

from __future__ import annotations

import json
import time
from typing import Any, Optional
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from testbed.errors import TestbedError


class AdminClient:
    """A client of the emulator at ``url`` that queues jobs and injects faults.

    Its methods raise TestbedError.
    """

    def __init__(self, url: str, timeout_seconds: float = 10) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout_seconds
        # The emulator runs on this machine: a proxy from the environment could not reach it.
        self._opener = build_opener(ProxyHandler({}))

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the decoded answer of ``/_testbed<path>``, None for an empty one."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(
            f"{self.url}/_testbed{path}", data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                content = response.read()
        except HTTPError as error:
            reason = error.read().decode(errors="replace")
            raise TestbedError(
                f"The GitHub emulator at {self.url} refused {path} ({error.code}): {reason}; "
                "correct the request."
            ) from None
        except (URLError, OSError) as error:
            raise TestbedError(
                f"The GitHub emulator at {self.url} does not answer ({error}); "
                "start it with `python -m testbed up`."
            ) from None
        return json.loads(content) if content else None

    def queue_job(
        self, runs_on: list[str], script: str, *, name: str = "job", repository: str = "Coldaine/ColdVox"
    ) -> int:
        """Queue a job and return its id."""
        job = {"repository": repository, "name": name, "runs_on": runs_on, "script": script}
        return int(self.call("POST", "/jobs", job)["id"])

    def job(self, number: int) -> dict[str, Any]:
        return dict(self.call("GET", f"/jobs/{number}"))

    def wait_for_job(
        self, number: int, *, status: str = "completed", timeout_seconds: float = 150
    ) -> dict[str, Any]:
        """Return the job once it has ``status``.

        Raises TestbedError after ``timeout_seconds``.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            job = self.job(number)
            if job["status"] == status:
                return job
            if time.monotonic() > deadline:
                raise TestbedError(
                    f"Job {number} ({job['name']}, runs-on {', '.join(job['runs_on'])}) is {job['status']} "
                    f"after {timeout_seconds:g} s; check that a runner with all these labels is online."
                )
            time.sleep(0.1)

    def audit(self, prefix: str = "/api/v3") -> list[dict[str, Any]]:
        """Return the recorded requests whose path starts with ``prefix``, oldest first."""
        return list(self.call("GET", f"/audit?prefix={prefix}"))

    def issued_tokens(self) -> list[str]:
        """Return every issued token and every assertion of an App.

        The tokens are those for registration, removal and installations.
        """
        return list(self.call("GET", "/issued_tokens"))

    def reset(self) -> None:
        self.call("POST", "/reset")

    def set_faults(self, *faults: dict[str, Any]) -> None:
        """Replace all faults by ``faults``; without any, the emulator works normally."""
        self.call("POST", "/faults", list(faults))

    def add_credential(self, token: str, permissions: Optional[dict[str, str]] = None) -> None:
        self.call("POST", "/credentials", {"token": token, "permissions": permissions})

    def advance_clock(self, seconds: float) -> None:
        self.call("POST", "/clock", {"advance_seconds": seconds})

    def lie(self, runner: str, **lies: Any) -> None:
        """Make the API report a false ``status`` or ``busy`` of a runner.

        Without ``lies`` it reports the truth again.
        """
        self.call("POST", "/lies", {"runner": runner, **lies})

    def publish(self, repository: str = "Coldaine/ColdVox") -> None:
        """Make a repository public."""
        self.call("POST", "/visibility", {"repository": repository, "public": True})

    def health(self) -> dict[str, Any]:
        return dict(self.call("GET", "/health"))
