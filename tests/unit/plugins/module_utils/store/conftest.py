from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests._support.fault_server import FaultServer, fault_server


@pytest.fixture(autouse=True)
def strict_umask() -> Iterator[None]:
    """The CI user may have this one: nothing in the store may depend on it."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"
