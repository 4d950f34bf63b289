"""An unpacked stand-in runner, for tests."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple, Optional
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from testbed.github.seed import ADMIN_TOKEN
from testbed.github.server import Running

REPOSITORY = "Coldaine/ColdVox"
USER = "nobody"


class Done(NamedTuple):
    status: int
    out: str
    err: str


class Runner:
    """An unpacked runner.

    Its programs get a clean environment, and a stub of ldconfig that reports libicu: the tests must not
    depend on the packages of this machine.
    """

    def __init__(self, directory: Path, stubs: Path, server: Running) -> None:
        self.directory = directory
        self.server = server
        self.environment = {
            "PATH": f"{stubs}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(directory),
            "STANDIN_SESSION_CONFLICT_LIMIT_SECONDS": "1",
        }
        self.started: list[subprocess.Popen[str]] = []

    @property
    def url(self) -> str:
        return f"{self.server.url}/{REPOSITORY}"

    def popen(self, *argv: str, **environment: str) -> subprocess.Popen[str]:
        identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        child = subprocess.Popen(
            argv,
            cwd=self.directory,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **identity,
        )
        self.started.append(child)
        return child

    def run(self, *argv: str, **environment: str) -> Done:
        child = self.popen(*argv, **environment)
        out, err = child.communicate(timeout=30)
        return Done(child.returncode, out, err)

    def configure(self, *options: str, token: Optional[str] = None, **environment: str) -> Done:
        environment.setdefault("ACTIONS_RUNNER_INPUT_TOKEN", token or self.token("registration"))
        return self.run("./config.sh", "--unattended", "--url", self.url, *options, **environment)

    def configured(self, name: str, *options: str) -> Runner:
        done = self.configure("--name", name, *options)
        assert done.status == 0, done
        return self

    def token(self, kind: str) -> str:
        return str(self.rest("POST", f"/repos/{REPOSITORY}/actions/runners/{kind}-token")["token"])

    def rest(self, method: str, path: str, body: Optional[bytes] = None) -> Any:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "application/json"}
        request = Request(self.server.api_url + path, body, headers, method=method)
        with build_opener(ProxyHandler({})).open(request, timeout=20) as response:
            content = response.read()
        return json.loads(content) if content else None

    def registered(self) -> list[dict[str, Any]]:
        return list(self.rest("GET", f"/repos/{REPOSITORY}/actions/runners")["runners"])

    def listen(self, *options: str, program: str = "./bin/Runner.Listener") -> subprocess.Popen[str]:
        """Start the listener and wait until GitHub reports it as online."""
        words = ["run", *options] if program.endswith("Listener") else list(options)
        child = self.popen(program, *words)
        wait_until(lambda: any(each["status"] == "online" for each in self.registered()), child)
        return child

    def file(self, name: str) -> Path:
        return self.directory / name

    def write(self, name: str, content: str, mode: int = 0o755) -> Path:
        path = self.directory / name
        path.write_text(content, encoding="utf-8")
        path.chmod(mode)
        return path


def wait_until(condition: Any, child: Optional[subprocess.Popen[str]] = None, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if child is not None and child.poll() is not None:
            pytest.fail(f"ended with {child.returncode}: {child.communicate()}")
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.05)


def end(child: subprocess.Popen[str], number: int = signal.SIGINT, seconds: float = 20) -> Done:
    child.send_signal(number)
    out, err = child.communicate(timeout=seconds)
    return Done(child.returncode, out, err)
