"""GitHub within this process, and a host that uses it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.github.client import AdminClient
from testbed.github.server import Running, emulator
from tests._support.runner_host import RunnerHost


@pytest.fixture
def github(description: Path) -> Iterator[Running]:
    with emulator(description) as running:
        yield running


@pytest.fixture
def admin(github: Running) -> AdminClient:
    return AdminClient(github.url)


@pytest.fixture
def host(github: Running) -> Iterator[RunnerHost]:
    host = RunnerHost(f"{github.url}/Coldaine/ColdVox")
    try:
        yield host
    finally:
        host.close()


@pytest.fixture
def job(host: RunnerHost) -> Any:
    """Yield a function that starts a process like the instance's running job."""
    started: list[subprocess.Popen[bytes]] = []

    def start(instance: str) -> subprocess.Popen[bytes]:
        program = host.file(instance, "bin/Runner.Worker")
        code = "import time; print(flush=True); time.sleep(300)"
        process = subprocess.Popen(
            [str(program), "-c", code], executable=sys.executable, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
