from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests._support.installed_agent import NOBODY, Agent


@pytest.fixture
def agent() -> Iterator[Agent]:
    """An installed agent that every user of the machine can reach, unlike pytest's own directories."""
    root = Path(tempfile.mkdtemp(prefix="coldvox-agent-"))
    root.chmod(0o755)
    before = os.umask(0o022)
    try:
        made = Agent(root)
        made.install()
        yield made
    finally:
        os.umask(before)
        shutil.rmtree(root)


@pytest.fixture
def user() -> int | None:
    """The user of a job: nobody when the tests run as root, else the one who runs them."""
    return NOBODY if os.geteuid() == 0 else None
