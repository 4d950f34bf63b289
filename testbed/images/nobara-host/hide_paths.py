"""Moves programs out of sight; their RPM brings each back as a link to where it went.

Runs once, while the image is built: ``hide_paths.py LIST`` with one absolute path per line.
"""

from __future__ import annotations

import os
import shutil
import sys

HIDDEN_ROOT = "/usr/lib/coldvox-testbed"


def hide(path: str) -> None:
    """Move ``path`` below the hidden root, or remake it there when it is a link."""
    hidden = HIDDEN_ROOT + path
    os.makedirs(os.path.dirname(hidden), exist_ok=True)
    if os.path.islink(path):
        target = os.path.realpath(path)
        os.symlink(HIDDEN_ROOT + target if os.path.exists(HIDDEN_ROOT + target) else target, hidden)
        os.unlink(path)
    else:
        # A rename cannot take a directory out of a lower image layer; this copies it then.
        shutil.move(path, hidden)


def main() -> None:
    """Hide files first, so that a link to one of them can be led to its new place."""
    with open(sys.argv[1], encoding="utf-8") as listing:
        paths = listing.read().split()
    for path in sorted(paths, key=os.path.islink):
        hide(path)


if __name__ == "__main__":
    main()
