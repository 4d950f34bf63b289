"""Directories that a job has filled with names and that root must read."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.hooks import spool
from ansible_collections.coldvox.ci.plugins.module_utils.host import sweep

FEW, MANY = 500, 6_000
# Allowance for the interpreter's own allocations.
_SLACK_BYTES = 64 * 1024


def empty(folder: Path) -> int:
    """Empty a trash directory."""
    opened = sweep.open_directory(str(folder))
    try:
        return sweep.empty(opened, lambda: False).removed
    finally:
        os.close(opened)


def discard_all(folder: Path) -> int:
    """Move everything into a trash directory."""
    opened = sweep.open_directory(str(folder))
    trash = sweep.open_trash(opened)
    try:
        sweep.discard_all(opened, trash, keep=(sweep.TRASH,))
    finally:
        os.close(trash)
        os.close(opened)
    return sum(1 for _entry in os.scandir(folder / sweep.TRASH))


def discard_foreign(folder: Path) -> int:
    """Move entries of other users into a trash directory; here it is all of them."""
    opened = sweep.open_directory(str(folder))
    trash = sweep.open_trash(opened)
    try:
        return sweep.discard_foreign(opened, trash, os.geteuid() + 1, lambda: False)
    finally:
        os.close(trash)
        os.close(opened)


def prune(folder: Path) -> int:
    """Remove entries that are no records of an instance; here it is all of them."""
    return spool.prune(str(folder.parents[1]), folder.name, keep=100)


def latest(folder: Path) -> int:
    """Look for the newest record in a directory without any."""
    assert spool.latest(str(folder.parents[1]), folder.name, "started") is None
    return sum(1 for _entry in os.scandir(folder))


def peak_bytes(action: Callable[[Path], int], run_dir: Path, count: int) -> int:
    """Return the most memory that ``action`` takes for a directory of ``count`` names."""
    folder = run_dir / "jobs" / str(count)
    folder.mkdir(parents=True)
    for number in range(count):
        os.symlink("nowhere", folder / f"{number:040}")
    tracemalloc.start()
    try:
        assert action(folder) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("action", [empty, discard_all, discard_foreign, prune, latest])
def test_directory_functions_take_constant_memory(tmp_path: Path, action: Callable[[Path], int]) -> None:
    assert peak_bytes(action, tmp_path, MANY) < peak_bytes(action, tmp_path, FEW) + _SLACK_BYTES
