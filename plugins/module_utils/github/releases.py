"""How far a runner is behind the release that GitHub means for its scope. Pure.

A runner that does not update itself must take each release within 30 days, or it gets no more jobs; GitHub's
API dates no release, so that distance is counted in releases.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, Optional

from .views import RunnerPackage

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class Standing(NamedTuple):
    """``outdated`` and ``behind`` (feature releases) are None where one of the versions is not known."""

    outdated: Optional[bool]
    behind: Optional[int]


def newest_version(packages: Iterable[RunnerPackage]) -> str:
    """Return the newest version among ``packages``; empty when none has any."""
    known = [package.version for package in packages if package.version]
    return max(known, key=_numbers, default="")


def standing(version: str, newest: str) -> Standing:
    """Return how ``version`` stands to ``newest``; another major release counts as one feature release."""
    if not _VERSION.fullmatch(version) or not _VERSION.fullmatch(newest):
        return Standing(None, None)
    mine, theirs = _numbers(version), _numbers(newest)
    if mine >= theirs:
        return Standing(False, 0)
    return Standing(True, theirs[1] - mine[1] if mine[0] == theirs[0] else 1)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
