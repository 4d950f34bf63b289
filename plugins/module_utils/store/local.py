"""Files on this host that are the download of a wanted artifact, by checksum.

A machine that already had a runner often has the archives too. Only a file whose SHA-256 is that of the
artifact counts: its name and its owner do not matter. An unpacked directory has no such checksum.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

from .artifact import Artifact, format_of
from .receipt import CHUNK_BYTES

# Caches are few directories below a home. Jobs' work, build output and hidden directories hold no archives.
_DEPTH = 5
_SKIPPED = frozenset(["_work", "_update", "externals", "node_modules", "target"])
_MOST_ENTRIES = 200_000
# Reading takes a minute then. Files of the right name come first.
_MOST_BYTES = 20 * 1024**3


class Local(NamedTuple):
    """Archives by SHA-256, and unpacked directories by artifact, as absolute paths."""

    archives: Mapping[str, str]
    trees: Mapping[str, str]

    def url(self, artifact: Artifact) -> str:
        """Return the file URL of the artifact's archive, or an empty text."""
        path = self.archives.get(artifact.sha256)
        return f"file://{quote(path)}" if path else ""


NOTHING = Local({}, {})


def search(directories: Sequence[str], artifacts: Sequence[Artifact]) -> Local:
    """Look below ``directories`` for the archives of ``artifacts``.

    Read whole files to compare checksums. Links are not followed, and what cannot be read is left out.
    """
    basenames = {_basename(artifact) for artifact in artifacts}
    endings = tuple({_ending(name) for name in basenames})
    wanted = {artifact.sha256 for artifact in artifacts}
    named: list[str] = []
    others: list[str] = []
    trees: dict[str, str] = {}
    directory_names = {artifact.name for artifact in artifacts}
    for entry in _entries(directories):
        if entry.is_dir(follow_symlinks=False):
            if entry.name in directory_names:
                trees.setdefault(entry.name, entry.path)
        elif entry.name in basenames:
            named.append(entry.path)
        elif entry.name.lower().endswith(endings):
            others.append(entry.path)
    return Local(_matching([*named, *others], wanted), trees)


def _basename(artifact: Artifact) -> str:
    return artifact.urls[0].partition("?")[0].rpartition("/")[2]


def _ending(name: str) -> str:
    """Return the end by which an archive with another name is recognized.

    Single files have all kinds of names, so only the same name counts.
    """
    lower = name.lower()
    for ending in (".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst"):
        if lower.endswith(ending):
            return ending
    return lower if format_of(lower) == "file" else os.path.splitext(lower)[1]


def _entries(directories: Sequence[str]) -> Iterator[os.DirEntry[str]]:
    """Yield files and directories, the highest first."""
    level, seen = list(dict.fromkeys(directories)), 0
    for _depth in range(_DEPTH):
        below: list[str] = []
        for directory in level:
            try:
                with os.scandir(directory) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError:
                continue
            for entry in entries:
                seen += 1
                if seen > _MOST_ENTRIES:
                    return
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith(".") and entry.name not in _SKIPPED:
                        below.append(entry.path)
                        yield entry
                elif entry.is_file(follow_symlinks=False):
                    yield entry
        level = below


def _matching(paths: Sequence[str], wanted: set[str]) -> dict[str, str]:
    archives: dict[str, str] = {}
    budget = _MOST_BYTES
    for path in paths:
        if len(archives) == len(wanted):
            break
        try:
            budget -= os.stat(path, follow_symlinks=False).st_size
            digest = _sha256(path) if budget >= 0 else ""
        except OSError:
            continue
        if digest in wanted:
            archives.setdefault(digest, path)
    return archives


def _sha256(path: str) -> str:
    hasher = hashlib.sha256()
    # The owner of the directory may have put a pipe there, which would never be ready.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as file:
        buffer = memoryview(bytearray(CHUNK_BYTES))
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
    return hasher.hexdigest()
