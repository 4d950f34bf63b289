from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that every user of the machine can reach, unlike pytest's own."""
    root = Path(tempfile.mkdtemp(prefix="coldvox-history-"))
    root.chmod(0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root)
