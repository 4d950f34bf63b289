"""GitHub within this process, and a controller that uses it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.github.rest.call import Download
from testbed.github.server import Running, emulator
from tests._support.controller import Controller

OFFERED = [Download("https://mirror.invalid/x64", "actions-runner-linux-x64-2.336.0.tar.gz")]


@pytest.fixture
def github(description: Path) -> Iterator[Running]:
    with emulator(description, downloads=lambda _scope: OFFERED) as running:
        yield running


@pytest.fixture
def run(github: Running) -> Controller:
    return Controller(github)
