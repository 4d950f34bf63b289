from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests._support.heal_instance import Instance


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    """An instance of which nothing runs yet."""
    made = Instance(tmp_path / "runners")
    yield made
    made.end()
