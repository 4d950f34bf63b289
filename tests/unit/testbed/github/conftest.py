"""The emulator within this process, on loopback, with GitHub's description as the judge of every answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.github.api import operations
from testbed.github.description import prepare
from testbed.github.server import Running, emulator
from testbed.paths import testbed_paths
from tests.unit.testbed.github.rest_client import Rest


@pytest.fixture(scope="session")
def description() -> Path:
    try:
        return prepare(testbed_paths().cache, operations())
    except TestbedError as error:
        pytest.fail(f"The emulator cannot be judged without GitHub's own description. {error}")


@pytest.fixture
def server(description: Path) -> Iterator[Running]:
    with emulator(description) as running:
        yield running


@pytest.fixture
def rest(server: Running) -> Rest:
    return Rest(server)
