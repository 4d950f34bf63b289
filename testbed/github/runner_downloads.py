"""The runner package that the emulator offers: the one on the artifact mirror."""

from __future__ import annotations

import json
from pathlib import Path

from .rest.call import Download, Downloads
from .state import Scope

VERSION = "2.336.0"
FILENAME = f"actions-runner-linux-x64-{VERSION}.tar.gz"
MIRROR_PATH = f"actions/runner/releases/download/v{VERSION}/{FILENAME}"


def mirrored(mirror_url: str, manifest: Path) -> Downloads:
    """Return a function that offers the mirror's package to every scope.

    The package's digest comes from ``manifest`` if that has the file.
    """

    def offer(_scope: Scope) -> list[Download]:
        # Read at every call: the mirror may be filled after the emulator has started.
        try:
            files = json.loads(manifest.read_bytes())
        except (OSError, ValueError):
            files = {}
        known = {path.lstrip("/"): entry for path, entry in files.items()}.get(MIRROR_PATH, {})
        return [Download(f"{mirror_url.rstrip('/')}/{MIRROR_PATH}", FILENAME, known.get("sha256"))]

    return offer
