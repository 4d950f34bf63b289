"""GitHub within this process, and a host beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.github.client import AdminClient
from testbed.github.server import Running, emulator
from tests.unit.plugins.action.github_runner.runner_host import RunnerHost


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
