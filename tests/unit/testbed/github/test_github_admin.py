from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.github.client import AdminClient
from tests._support.rest_client import REPOSITORY, Rest

RUNNERS = f"{REPOSITORY}/actions/runners"


def test_audit_has_requests_and_no_secret(rest: Rest) -> None:
    rest("GET", f"{RUNNERS}?name=a")
    token = rest("POST", f"{RUNNERS}/registration-token").body["token"]
    rest("GET", RUNNERS, token="wrong-secret")
    audit = rest.server.admin.audit()
    assert [(each["method"], each["status"]) for each in audit] == [("GET", 200), ("POST", 201), ("GET", 401)]
    assert audit[0]["path"] == f"/api/v3{RUNNERS}"
    assert audit[0]["query"] == {"name": "a"}
    assert not any(secret in str(audit) for secret in (token, "wrong-secret", "sandbox-admin-token"))


@pytest.mark.parametrize("status", [401, 403, 404, 409, 422, 429, 500, 503])
def test_fault_answers_as_often_as_ordered(rest: Rest, status: int) -> None:
    fault = {"path_regex": "/actions/runners", "status": status, "times": 2, "headers": {"Retry-After": "1"}}
    rest.server.admin.set_faults(fault)
    replies = [rest("GET", RUNNERS) for _ in range(3)]
    assert [each.status for each in replies] == [status, status, 200]
    assert replies[0].headers["Retry-After"] == "1"
    assert rest.server.admin.audit()[0]["status"] == status


def test_fault_affects_only_matching_requests_and_can_be_removed(rest: Rest) -> None:
    named = {
        "path_regex": "runners$",
        "method": "post",
        "status": 500,
        "times": None,
        "body": {"message": "x"},
    }
    rest.server.admin.set_faults(named)
    assert rest("GET", RUNNERS).status == 200
    assert rest("POST", RUNNERS).body == {"message": "x"}
    rest.server.admin.set_faults()
    assert rest("POST", RUNNERS).status == 404


def test_fault_delay_only_delays_the_answer(rest: Rest) -> None:
    rest.server.admin.set_faults({"path_regex": "runners", "delay_seconds": 0.3})
    before = time.monotonic()
    assert rest("GET", RUNNERS).status == 200
    assert time.monotonic() - before >= 0.3


@pytest.mark.parametrize("fault", [{"status": 500}, {"path_regex": "("}, {"path_regex": "x", "satus": 500}])
def test_fault_with_an_invalid_key_is_refused(rest: Rest, fault: dict[str, object]) -> None:
    with pytest.raises(TestbedError, match="422"):
        rest.server.admin.set_faults(fault)


def test_lie_changes_the_reported_status_until_it_is_removed(rest: Rest) -> None:
    path = f"{RUNNERS}/{rest.jit('a')['id']}"
    rest.server.admin.lie("a", status="online", busy=True)
    reported = rest("GET", path).body
    assert (reported["status"], reported["busy"]) == ("online", True)
    rest.server.admin.lie("a")
    assert rest("GET", path).body["status"] == "offline"


def test_reset_restores_the_initial_state(rest: Rest) -> None:
    rest.jit("a")
    rest.server.admin.set_faults({"path_regex": "x", "status": 500})
    rest.server.admin.reset()
    assert rest.server.admin.audit() == []
    assert rest("GET", RUNNERS).body["total_count"] == 0


def test_wait_for_job_reports_a_job_that_no_runner_takes(rest: Rest) -> None:
    number = rest.server.admin.queue_job(["gpu"], "true", name="build")
    with pytest.raises(TestbedError, match=r"build, runs-on gpu\) is queued after 0.1 s"):
        rest.server.admin.wait_for_job(number, timeout_seconds=0.1)


def test_queue_job_rejects_an_unknown_repository(rest: Rest) -> None:
    with pytest.raises(TestbedError, match="no repository Coldaine/Other"):
        rest.server.admin.queue_job(["x"], "true", repository="Coldaine/Other")


def test_admin_client_reports_a_missing_emulator() -> None:
    with pytest.raises(TestbedError, match="does not answer"):
        AdminClient("http://127.0.0.1:9").health()


def _serve(description: Path, port: int) -> subprocess.Popen[str]:
    options = ["--host", "127.0.0.1", "--port", str(port), "--spec", str(description)]
    return subprocess.Popen(
        [sys.executable, "-m", "testbed.github", "serve", *options],
        cwd=Path(__file__).parents[4],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def _hang_up(url: str) -> None:
    """Reset a connection in the middle of a request, as a killed listener does."""
    host, port = url.split("//")[1].split(":")
    with socket.create_connection((host, int(port))) as caller:
        caller.sendall(b"POST /_testbed/reset HTTP/1.1\r\nContent-Length: 10\r\n\r\nx")
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_serve_runs_until_sigterm(description: Path) -> None:
    with _serve(description, 0) as child:
        assert child.stdout is not None
        url = child.stdout.readline().split()[-1]
        assert AdminClient(url).health()["status"] == "ok"
        _hang_up(url)
        assert AdminClient(url).health()["status"] == "ok"
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
        assert child.stderr is not None
        assert child.stderr.read() == ""


def test_serve_reports_a_taken_address_and_a_missing_description(description: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with _serve(description, port) as child:
            _, errors = child.communicate(timeout=120)
    assert child.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use)" in errors
    assert errors.count("\n") == 1
    with _serve(tmp_path / "none.json", 0) as child:
        _, errors = child.communicate(timeout=120)
    assert "python -m testbed.github prepare" in errors
