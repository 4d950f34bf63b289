"""Which runner to install, and how old one is: GitHub ends the use of a version 30 days after a newer one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple, Optional

from ..errors import CiError
from ..github.runners import RunnerPackage

# docs.github.com, "Updating runners": without self-update, within 30 days.
MAX_AGE_DAYS = 30
_DAY_SECONDS = 86400.0


class Release(NamedTuple):
    """A runner package as it can be fetched and verified."""

    version: str
    url: str
    sha256: str


def choose_release(
    offered: Sequence[RunnerPackage], architecture: str, pinned_sha256: str, scope_label: str
) -> Release:
    """Return the Linux runner for ``architecture`` (x64, arm64, arm) among what GitHub offers the scope.

    Raises CiError when there is none, or when nobody says its checksum: neither GitHub nor ``pinned_sha256``.
    """
    for one in offered:
        if one.os != "linux" or one.architecture != architecture:
            continue
        sha256 = one.sha256 or pinned_sha256
        if not sha256 or not one.version:
            raise CiError(
                f"GitHub offers {scope_label} the runner {one.filename} without a "
                f"{'checksum' if one.version else 'version'}, and it would be installed unverified; pin "
                "github_runner_version and github_runner_sha256 as its release notes give them."
            )
        return Release(one.version, one.download_url, sha256)
    raise CiError(
        f"GitHub offers {scope_label} no Linux runner for {architecture}; pin github_runner_version, "
        "github_runner_download_url and github_runner_sha256."
    )


def age_days(tree: str, now: float) -> Optional[float]:
    """Return the age of the unpacked runner ``tree`` in days, by the time its program was built.

    ``now`` in Unix seconds. None when there is no such program.
    """
    try:
        built = os.stat(os.path.join(tree, "bin", "Runner.Listener")).st_mtime
    except OSError:
        return None
    return max(0.0, (now - built) / _DAY_SECONDS)


def age_warning(age: Optional[float], limit_days: int) -> str:
    """Return what has to be said about a runner that is ``age`` days old, or an empty text.

    ``limit_days`` 0 means that nobody wants to hear of it.
    """
    if not limit_days or age is None or age <= limit_days:
        return ""
    return (
        f"The runner was built {age:.0f} days ago and does not renew itself; GitHub gives it no more jobs "
        f"{MAX_AGE_DAYS} days after there is a newer one. Raise github_runner_version, or let it be latest."
    )
