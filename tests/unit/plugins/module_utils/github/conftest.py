"""GitHub within this process: the library is tested over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.github.api import operations
from testbed.github.description import prepare
from testbed.github.rest.call import Download
from testbed.github.server import Running, emulator
from testbed.paths import testbed_paths

OFFERED = [
    Download("https://mirror.invalid/x64", "actions-runner-linux-x64-2.336.0.tar.gz", "AB" * 32),
    Download("https://mirror.invalid/arm", "actions-runner-linux-arm64-2.336.0.tar.gz", architecture="arm64"),
]


@pytest.fixture(scope="session")
def description() -> Path:
    try:
        return prepare(testbed_paths().cache, operations())
    except TestbedError as error:
        pytest.fail(f"The emulator cannot be judged without GitHub's own description. {error}")


@pytest.fixture
def github(description: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with emulator(description, downloads=lambda _scope: OFFERED) as running:
        yield running
