"""Hide programs until their RPM makes a link to each of them.

Runs while the image is built: ``hide_paths.py LIST``, with one absolute path per line of LIST.
"""

from __future__ import annotations

import os
import shutil
import sys

HIDDEN_ROOT = "/usr/lib/coldvox-testbed"


def hide(path: str) -> None:
    """Move ``path`` below the hidden root; a link is made again there."""
    hidden = HIDDEN_ROOT + path
    os.makedirs(os.path.dirname(hidden), exist_ok=True)
    if os.path.islink(path):
        target = os.path.realpath(path)
        os.symlink(HIDDEN_ROOT + target if os.path.exists(HIDDEN_ROOT + target) else target, hidden)
        os.unlink(path)
    else:
        # A rename of a directory from a lower image layer fails; then this copies it.
        shutil.move(path, hidden)


def main() -> None:
    """Hide all paths, links last: a link to a hidden file must point to its new place."""
    with open(sys.argv[1], encoding="utf-8") as listing:
        paths = listing.read().split()
    for path in sorted(paths, key=os.path.islink):
        hide(path)


if __name__ == "__main__":
    main()
