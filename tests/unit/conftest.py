"""Make the checkout importable as ``ansible_collections.coldvox.ci``.

The same for ``testbed``, from any directory. And has GitHub's description, by which many tests judge.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

CHECKOUT = Path(__file__).resolve().parents[2]


def _link_collection() -> Path:
    """Return a directory whose ``ansible_collections/coldvox/ci`` is this checkout."""
    root = Path(tempfile.mkdtemp(prefix="coldvox-collections-"))
    target = root / "ansible_collections" / "coldvox" / "ci"
    target.parent.mkdir(parents=True)
    target.symlink_to(CHECKOUT)
    return root


# In front, so that an installed copy of the collection never hides the code under test.
sys.path[:0] = [str(_link_collection()), str(CHECKOUT)]


# On busy cores, drawing an input may take a second, which says nothing about the strategy.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture(scope="session")
def description() -> Path:
    """Return GitHub's own description of its API, cut to what the emulator answers."""
    from testbed.errors import TestbedError
    from testbed.github import description
    from testbed.github.api import operations
    from testbed.paths import testbed_paths

    try:
        return description.prepare(testbed_paths().cache, operations())
    except TestbedError as error:
        pytest.fail(f"The emulator cannot be judged without GitHub's own description. {error}")


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that every user of the machine can reach, unlike pytest's own."""
    root = Path(tempfile.mkdtemp(prefix="coldvox-reachable-"))
    root.chmod(0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root)
