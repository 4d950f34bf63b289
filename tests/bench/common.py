"""Directory, repetition and output that all benchmarks share."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parents[2]
#: Ignored by git, and on the disk that is measured.
PLACE = CHECKOUT / ".testbed" / "bench"


class Options(NamedTuple):
    """``archive_bytes`` is the size of the cold benchmark's download."""

    archive_bytes: int
    repetitions: int


@contextmanager
def workplace(name: str) -> Iterator[Path]:
    """Yield an empty directory for the benchmark ``name`` and remove it afterwards."""
    PLACE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=PLACE) as directory:
        yield Path(directory)


def collections_root() -> Path:
    """Return a directory in which this checkout is the collection.

    The collection can be imported from now on.
    """
    root = PLACE / "collections"
    target = root / "ansible_collections" / "coldvox" / "ci"
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.is_symlink():
        target.symlink_to(CHECKOUT)
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return root


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes; it starts after a sync of all disks."""
    os.sync()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def alternating(candidates: Mapping[str, Callable[[], float]], repetitions: int) -> dict[str, float]:
    """Measure all ``candidates`` in turn and return their medians.

    A noisy minute then affects each of them.
    """
    measured: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repetitions):
        for name, measure in candidates.items():
            measured[name].append(measure())
    return {name: statistics.median(values) for name, values in measured.items()}


def say(title: str, value: float, unit: str, target: str = "") -> None:
    """Print one line of the table."""
    print(f"  {title:<66}{value:>10.3g} {unit:<6}{target and f'(target {target})'}", flush=True)
