"""GitHub's emulator in this process: the tests use real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.github.rest.call import Download
from testbed.github.server import Running, emulator

OFFERED = [
    Download("https://mirror.invalid/x64", "actions-runner-linux-x64-2.336.0.tar.gz", "AB" * 32),
    Download("https://mirror.invalid/arm", "actions-runner-linux-arm64-2.336.0.tar.gz", architecture="arm64"),
]


@pytest.fixture
def github(description: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with emulator(description, downloads=lambda _scope: OFFERED) as running:
        yield running
