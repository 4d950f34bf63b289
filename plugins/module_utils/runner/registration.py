"""What a registration consists of, and the fingerprint that tells when it has to be made anew."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from ..errors import CiError


@dataclass(frozen=True)
class Registration:
    """All that only ``config.sh`` can set. Labels are not part of it: they change by REST, with no
    restart.
    """

    url: str
    name: str
    group: str = ""
    work_dir: str = "_work"
    ephemeral: bool = False
    default_labels: bool = True

    @property
    def fingerprint(self) -> str:
        """The SHA-256 over all values, equal as long as no new registration is needed."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def check_work_dir(work_dir: str) -> str:
    """Return ``work_dir``; raises CiError unless it is absolute, or a name in the instance's directory.

    What lies deeper there belongs to the jobs, who could put a link in its way.
    """
    parts = work_dir.split("/")
    plain = work_dir.isprintable() and not any(letter in work_dir for letter in " \t\"'\\%:$")
    nested = not work_dir.startswith("/") and len(parts) > 1
    if not work_dir or not plain or nested or ".." in parts or "." in parts or work_dir.rstrip("/") == "":
        raise CiError(
            f"Work directory '{work_dir}' cannot be used: give one name, which lies in the instance's own "
            "directory, or an absolute path, without spaces, quotes, '.' and '..'."
        )
    return work_dir
