"""Makes the checkout importable as ``ansible_collections.coldvox.ci`` and ``testbed``, wherever it lies."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

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
