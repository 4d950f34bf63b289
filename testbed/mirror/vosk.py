"""The libvosk release archives, in the project's own layout.

They have the real library and a header that we wrote.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

from testbed.mirror import archives, part_cache, pypi

VERSION = "0.3.45"
HEADER = Path(__file__).parent / "data" / "vosk_api.h"


class Library(NamedTuple):
    """The libvosk of one architecture: its wheel, and the digest of libvosk.so."""

    wheel: pypi.Wheel
    sha256: str


LIBRARIES = {
    "x86_64": Library(pypi.VOSK_X86_64, "85c4654de3acdeb99abab86eeb2a6e603927d37089597c0fcc33d8638dc2ccaf"),
    "aarch64": Library(pypi.VOSK_AARCH64, "0e9df29f060a93cf3df3263a4d3635e1b75688a5fd84e86ade1599372e3c9597"),
}


def part(cache: Path) -> part_cache.Part:
    """Return the part with one zip per architecture."""

    def make(www: Path) -> None:
        target = www / "vosk-api" / f"v{VERSION}"
        target.mkdir(parents=True)
        for architecture in LIBRARIES:
            _write(target, architecture, cache)

    digests = tuple(library.sha256 for library in LIBRARIES.values())
    return part_cache.Part(
        "libvosk", make, (Path(__file__), HEADER, Path(archives.__file__)), (VERSION, *digests)
    )


def _write(target: Path, architecture: str, cache: Path) -> None:
    top = f"vosk-linux-{architecture}-{VERSION}"
    with tempfile.TemporaryDirectory(prefix="libvosk-") as scratch:
        library = extract(architecture, Path(scratch), cache)
        members = {
            "libvosk.so": archives.Member(library, 0o755),
            "vosk_api.h": archives.Member(HEADER),
        }
        archives.write_zip(target / f"{top}.zip", top, members)


def extract(architecture: str, target: Path, cache: Path) -> Path:
    """Extract libvosk.so of ``architecture`` into ``target`` and return its path."""
    wheel, sha256 = LIBRARIES[architecture]
    library = target / "libvosk.so"
    archives.extract_member(wheel.fetch(cache), "vosk/libvosk.so", library, sha256)
    return library
