"""The directories that the testbed writes to, all below one git-ignored directory."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Paths:
    """The testbed's own directory tree; ``root`` is absolute."""

    root: Path

    @property
    def cache(self) -> Path:
        """The results that take long to make and that all worlds share."""
        return self.root / "cache"

    @property
    def www(self) -> Path:
        """The tree that the artifact mirror serves."""
        return self.cache / "www"

    @property
    def logs(self) -> Path:
        """The output of builds and downloads."""
        return self.root / "logs"

    @property
    def engine(self) -> Path:
        """The log and the identity of the Docker daemon that the testbed started."""
        return self.root / "engine"

    def world(self, name: str) -> Path:
        """Return the directory of one world: keys, state, logs of its services."""
        return self.root / "worlds" / name

    def lock(self, name: str) -> Path:
        """Return the lock file ``name``.

        It is outside the world's directory, because ``down`` removes that.
        """
        return self.root / "locks" / f"{name}.lock"


def testbed_paths() -> Paths:
    """Return the tree that this process's environment names."""
    return paths_for(os.environ)


def paths_for(environment: Mapping[str, str]) -> Paths:
    """Return the tree in ``COLDVOX_TESTBED_DIR``, or ``.testbed`` of the checkout."""
    chosen = environment.get("COLDVOX_TESTBED_DIR", "")
    return Paths(Path(chosen).resolve() if chosen else CHECKOUT / ".testbed")
