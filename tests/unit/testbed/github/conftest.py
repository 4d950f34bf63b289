"""Fixtures: an emulator in this process that checks its answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.github.server import Running, emulator
from tests._support.rest_client import Rest


@pytest.fixture
def server(description: Path) -> Iterator[Running]:
    with emulator(description) as running:
        yield running


@pytest.fixture
def rest(server: Running) -> Rest:
    return Rest(server)
