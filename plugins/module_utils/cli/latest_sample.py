"""The sample that a decision on the host is based on: the sampler's latest, or one taken now."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from typing import Any, Optional

from ..agent.paths import Paths, paths_of
from ..foreign_file import read_json

# The sampler writes every few seconds; an older one is from before it stopped.
FRESH_SECONDS = 60


def add_places(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the directory that a sample taken now looks at."""
    group.add_argument("--runners", default=paths_of(defaults).runners, help="directory of the runners")


def latest_sample(options: argparse.Namespace) -> dict[str, Any]:
    """Return the sampler's latest sample, or one that is taken now when that is missing, broken or old."""
    return _written(Paths(run=options.run).sample) or _taken(options)


def _written(path: str) -> Optional[dict[str, Any]]:
    sample = read_json(path)
    try:
        return sample if sample and abs(time.time() - os.stat(path).st_mtime) <= FRESH_SECONDS else None
    except OSError:
        return None


def _taken(options: argparse.Namespace) -> dict[str, Any]:
    from ..metrics.sample import Target, take_samples
    from ..metrics.sources import machine
    from ..process import run

    # Sizes of caches and whether GitHub can be reached have no part in these decisions, and take their time.
    target = Target(base_dir=options.runners, store_dir="", models_dir="", rust_dirs=(), github_url="")
    return next(take_samples(target, machine(run), 1, 1.0))
