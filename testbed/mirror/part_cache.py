"""The cache of the mirror's finished parts.

A part is kept under a hash of everything that decides its content, and built only once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from testbed.mirror.archives import sha256_of
from testbed.mirror.placeholder import is_rewritten

KEEP_UNUSED_SECONDS = 24 * 3600


@dataclasses.dataclass(frozen=True)
class Part:
    """One independently built piece of the mirror's tree.

    ``make`` writes files into an empty directory, at the paths of their URLs. ``sources`` are the files that
    decide the result; ``inputs`` are its other inputs.
    """

    name: str
    make: Callable[[Path], None]
    sources: tuple[Path, ...]
    inputs: tuple[str, ...] = ()

    def key(self) -> str:
        """Return 16 hex digits that change with every input."""
        digest = hashlib.sha256(repr((self.name, self.inputs)).encode())
        for source in self.sources:
            digest.update(f"{source.name}\0{sha256_of(source)}\0".encode())
        return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Built:
    """A finished part.

    ``manifest`` has sha256 and bytes of each file that is served unchanged, by path.
    """

    www: Path
    manifest: Mapping[str, Mapping[str, Any]]

    def paths(self) -> list[str]:
        """Return the path of every file, relative to the tree and sorted."""
        return sorted(str(path.relative_to(self.www)) for path in self.www.rglob("*") if path.is_file())


class PartCache:
    """The directory of finished parts.

    Several builders may share it: ``locked`` admits one at a time.
    """

    def __init__(self, cache: Path, progress: Callable[[str], None]) -> None:
        self.cache = cache
        self._parts = cache / "mirror"
        self._progress = progress
        self._parts.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the cache for a ``with`` block; other builders wait."""
        with (self._parts / "lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._progress("waiting for another build of the mirror")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def built(self, part: Part) -> Built:
        """Return the finished ``part``, building it if the cache lacks it."""
        home = self._parts / f"{part.name}-{part.key()}"
        if not home.is_dir():
            self._make(part, home)
        os.utime(home)
        self._forget_old(part.name, home)
        return Built(home / "www", json.loads((home / "manifest.json").read_text("utf-8")))

    def _make(self, part: Part, home: Path) -> None:
        self._progress(f"building {part.name}")
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=".making-", dir=self._parts) as scratch:
            draft = Path(scratch, "part")
            (draft / "www").mkdir(parents=True)
            part.make(draft / "www")
            manifest = _manifest(draft / "www")
            (draft / "manifest.json").write_text(json.dumps(manifest, indent=1), "utf-8")
            draft.rename(home)
        size = sum(entry["bytes"] for entry in manifest.values())
        self._progress(f"built {part.name}: {size / 1e6:.1f} MB in {time.monotonic() - begin:.1f} s")

    def _forget_old(self, name: str, current: Path) -> None:
        limit = time.time() - KEEP_UNUSED_SECONDS
        for other in self._parts.glob(f"{name}-" + "[0-9a-f]" * 16):
            if other != current and other.stat().st_mtime < limit:
                shutil.rmtree(other)


def _manifest(tree: Path) -> dict[str, dict[str, Any]]:
    """Return sha256 and bytes of the files that are served unchanged.

    A rewritten file has another digest under each address.
    """
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    return {
        path.relative_to(tree).as_posix(): {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        for path in files
        if not is_rewritten(path.relative_to(tree).as_posix())
    }
