"""Requests to the mirror, and the real rustup configured for it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from testbed.mirror import debian
from testbed.mirror.server import MirrorServer

MODEL_MIB = 4


def require_packages() -> None:
    """Skip the test where Debian's packages are unavailable and ``stable`` is a stub."""
    if obstacle := debian.obstacle():
        pytest.skip(obstacle)


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(
    server: MirrorServer,
    path: str,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    body: Any = None,
    timeout: float = 10,
) -> Answer:
    """Send one request over a new connection and return the whole answer."""
    host, port = server.server_address[:2]
    connection = http.client.HTTPConnection(str(host), int(port), timeout=timeout)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, body=data, headers=dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


class Rustup(NamedTuple):
    """The real rustup in its own home, configured to use only the mirror."""

    program: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.program), *arguments],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @property
    def home(self) -> Path:
        return Path(self.environment["RUSTUP_HOME"])


def install_rustup(www: Path, home: Path, url: str) -> Rustup:
    """Run the mirror's rustup-init without this machine's Rust in its environment."""
    environment = {
        "HOME": str(home),
        "PATH": f"{home}/cargo/bin:/usr/bin:/bin",
        "RUSTUP_HOME": str(home / "rustup"),
        "CARGO_HOME": str(home / "cargo"),
        "RUSTUP_DIST_SERVER": f"{url}/rust-dist",
        "RUSTUP_UPDATE_ROOT": f"{url}/rustup",
        "RUSTUP_INIT_SKIP_PATH_CHECK": "yes",
    }
    installer = home / "rustup-init"
    installer.write_bytes((www / "rustup/archive/1.29.0/x86_64-unknown-linux-gnu/rustup-init").read_bytes())
    installer.chmod(0o755)
    options = ["-y", "--no-modify-path", "--default-toolchain", "none", "--profile", "minimal"]
    outcome = Rustup(installer, environment).run(*options)
    assert outcome.returncode == 0, outcome.stderr
    assert os.access(home / "cargo/bin/rustup", os.X_OK)
    return Rustup(home / "cargo/bin/rustup", environment)
