"""Fixtures: a real tree of the mirror, built once per session, and its server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.mirror import build
from testbed.mirror.server import MirrorServer, mirror
from testbed.paths import testbed_paths
from tests._support.mirror_client import MODEL_MIB, Rustup, install_rustup


@pytest.fixture(scope="session")
def cache() -> Path:
    return testbed_paths().cache


@pytest.fixture(scope="session")
def www(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mirror") / "www"
    build.build(root, cache, MODEL_MIB)
    return root


@pytest.fixture(scope="session")
def shared_mirror(www: Path) -> Iterator[MirrorServer]:
    with mirror(www) as server:
        yield server


@pytest.fixture
def served(shared_mirror: MirrorServer) -> MirrorServer:
    """Return the server of the built tree, without faults and with an empty audit."""
    shared_mirror.reset()
    return shared_mirror


@pytest.fixture
def rustup(www: Path, served: MirrorServer, tmp_path: Path) -> Rustup:
    return install_rustup(www, tmp_path, served.url)
