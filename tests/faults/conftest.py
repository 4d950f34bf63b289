"""The collection for imports, and the counts of faults tried and survived."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


def _link_collection() -> Path:
    """Return a directory whose ``ansible_collections/coldvox/ci`` is this checkout."""
    root = Path(tempfile.mkdtemp(prefix="coldvox-collections-"))
    target = root / "ansible_collections" / "coldvox" / "ci"
    target.parent.mkdir(parents=True)
    target.symlink_to(CHECKOUT)
    return root


sys.path[:0] = [str(_link_collection()), str(CHECKOUT)]

from tests._support.fault_server import FaultServer, fault_server
from tests._support.store_processes import MODEL
from tests.faults.matrix import summary

# Numbers of tries and survivals by test; a test that does not count its tries itself is one try.
_COUNTS: dict[str, tuple[int, int]] = {}
_TESTS: dict[str, list[str]] = {}


@pytest.fixture
def runs() -> int:
    """Return how often a fault with random timing is tried.

    COLDVOX_FAULT_RUNS sets it; a thorough run takes 500.
    """
    return int(os.environ.get("COLDVOX_FAULT_RUNS", "40"))


@pytest.fixture
def survived(request: pytest.FixtureRequest) -> Iterator[list[bool]]:
    """Yield a list that takes an entry per try; the end of the run prints the numbers."""
    tries: list[bool] = []
    yield tries
    _COUNTS[request.node.name] = (len(tries), sum(tries))


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        running.serve("/m.zip", MODEL)
        yield running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system of 4 MiB with 400 inodes.

    It needs root, and a container may forbid it.
    """
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=400,mode=0755", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("cannot mount a tmpfs here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.skipped or report.failed:
        _TESTS.setdefault(report.nodeid, []).append(report.outcome)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _TESTS:
        return
    terminalreporter.section("faults: tried, survived")
    for name, (tried, good) in sorted(_COUNTS.items()):
        terminalreporter.write_line(f"{name}: {tried} tried, {good} survived")
    terminalreporter.write_line(summary(_TESTS, _COUNTS))
