"""Fixtures: the packed runner, unpacked, with an emulator."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.github.api import operations
from testbed.github.description import prepare
from testbed.github.server import Running, emulator
from testbed.paths import testbed_paths
from testbed.runner.package import build
from testbed.runner.tree.bin.standin import registration, rsa
from tests._support.packed_runner import USER, Runner


@pytest.fixture(scope="session")
def package() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="coldvox-runner-") as directory:
        path = Path(directory) / "runner.tar.gz"
        build(path)
        yield path


@pytest.fixture
def server() -> Iterator[Running]:
    try:
        description = prepare(testbed_paths().cache, operations())
    except TestbedError as error:
        pytest.fail(f"The emulator cannot be judged without GitHub's own description. {error}")
    with emulator(description) as running:
        yield running


@pytest.fixture(scope="session")
def key() -> dict[str, str]:
    return rsa.new_key()


@pytest.fixture
def runner(package: Path, server: Running, key: dict[str, str]) -> Iterator[Runner]:
    # Not pytest's directory: the unprivileged user cannot enter that.
    root = Path(tempfile.mkdtemp(prefix="coldvox-runner-"))
    root.chmod(0o755)
    directory, stubs = root / "runner", root / "stubs"
    stubs.mkdir()
    stub = stubs / "ldconfig"
    stub.write_text("#!/bin/sh\necho '\tlibicuuc.so.72 -> libicuuc.so.72.1'\n")
    stub.chmod(0o755)
    with tarfile.open(package) as archive:
        archive.extractall(directory, filter="data")
    # The runner uses an existing key; making one takes it about a second.
    registration.save(directory / registration.KEY, dict(key), mode=0o600)
    if os.geteuid() == 0:
        for path in [directory, *directory.rglob("*")]:
            shutil.chown(path, USER)
    unpacked = Runner(directory, stubs, server)
    yield unpacked
    for child in unpacked.started:
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    shutil.rmtree(root, ignore_errors=True)
