"""Makes the collection importable, as for the unit tests, and counts what was tried and survived."""

from __future__ import annotations

import os
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

_COUNTS: dict[str, tuple[int, int]] = {}


@pytest.fixture
def runs() -> int:
    """How often a fault with random timing is tried: COLDVOX_FAULT_RUNS, 500 for a thorough run."""
    return int(os.environ.get("COLDVOX_FAULT_RUNS", "40"))


@pytest.fixture
def survived(request: pytest.FixtureRequest) -> Iterator[list[bool]]:
    """A list that takes one entry per try; the numbers are printed at the end."""
    tries: list[bool] = []
    yield tries
    _COUNTS[request.node.name] = (len(tries), sum(tries))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _COUNTS:
        terminalreporter.section("faults: tried, survived")
        for name, (tried, good) in sorted(_COUNTS.items()):
            terminalreporter.write_line(f"{name}: {tried} tried, {good} survived")
