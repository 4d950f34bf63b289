"""Releases of the package on a host.

Each release is a directory with the digest of its content as its name. One link points to the used release.
"""

from __future__ import annotations

import compileall
import os
import shutil
from py_compile import PycInvalidationMode

from ..errors import CiError

#: The version of the collection; galaxy.yml has the same.
VERSION = "0.2.0"
_KEPT_BEFORE = 1  # a running command may still import from the previous release


def settle(release: str) -> list[str]:
    """Compile ``release`` and keep only the newest other release next to it.

    Returns the names of the removed releases. The bytecode does not depend on the time of its source, because
    a release never changes. Raises CiError when ``release`` is not in a directory ``releases``.
    """
    above, name = os.path.split(release)
    if os.path.basename(above) != "releases":
        raise CiError(
            f"{release} is not an installed release, so nothing was compiled; converge the host with the "
            "role agent."
        )
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
