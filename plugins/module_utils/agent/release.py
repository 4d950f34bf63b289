"""Releases of the package on a host: each lies in a directory named by its content, and one link says which
is in use.
"""

from __future__ import annotations

import compileall
import os
import shutil
from py_compile import PycInvalidationMode

from ..errors import CiError

_KEPT_BEFORE = 1  # a command that began with the release before may still import from it


def settle(release: str) -> list[str]:
    """Compile ``release`` and remove all releases beside it but the newest; return the names of the removed.

    The bytecode does not refer to its source's time: a release never changes, its name is its content. Raises
    CiError when ``release`` does not lie in a directory of releases.
    """
    above, name = os.path.split(release)
    if os.path.basename(above) != "releases":
        raise CiError(f"{release} is not an installed release; converge the host with the role agent.")
    before = os.umask(0o022)  # jobs read the bytecode
    try:
        compileall.compile_dir(release, quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
    finally:
        os.umask(before)
    others = [other for other in os.listdir(above) if other != name]
    others.sort(key=lambda other: os.stat(os.path.join(above, other)).st_mtime, reverse=True)
    for other in others[_KEPT_BEFORE:]:
        shutil.rmtree(os.path.join(above, other))
    return others[_KEPT_BEFORE:]
