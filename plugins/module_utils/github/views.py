"""What GitHub says about runners, as plain data."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Optional

_VERSION = re.compile(r"-(\d+\.\d+\.\d+)\.(?:tar\.gz|zip)$")


@dataclass(frozen=True)
class RegisteredRunner:
    """GitHub's public view of a runner. ``status`` and ``busy`` are hints: they are wrong after a sleep.

    ``group_id`` is None where GitHub keeps it to itself; ``version`` is empty before the first connection.
    """

    id: int
    name: str
    status: str
    busy: bool
    labels: tuple[str, ...]
    custom_labels: tuple[str, ...]
    version: str
    os: str = ""
    group_id: Optional[int] = None
    ephemeral: bool = False

    @classmethod
    def of(cls, data: dict[str, Any]) -> RegisteredRunner:
        """Return the runner that the API describes by ``data``."""
        labels = data.get("labels", [])
        group = data.get("runner_group_id")
        return cls(
            id=int(data["id"]),
            name=str(data["name"]),
            status=str(data.get("status", "offline")),
            busy=bool(data.get("busy", False)),
            labels=tuple(str(label["name"]) for label in labels),
            custom_labels=tuple(str(label["name"]) for label in labels if label.get("type") != "read-only"),
            version=str(data.get("version") or ""),
            os=str(data.get("os") or ""),
            group_id=None if group is None else int(group),
            ephemeral=bool(data.get("ephemeral", False)),
        )


@dataclass(frozen=True)
class RunnerGroup:
    """A group of runners; ``default`` is the one that takes whoever names none."""

    id: int
    name: str
    default: bool


@dataclass(frozen=True)
class RunnerPackage:
    """The runner that GitHub means for a scope; ``sha256`` is None where it names none."""

    os: str
    architecture: str
    download_url: str
    filename: str
    sha256: Optional[str]

    @property
    def version(self) -> str:
        """Return the version in the file name, such as ``2.336.0``; empty when there is none."""
        found = _VERSION.search(self.filename)
        return found[1] if found else ""


@dataclass(frozen=True)
class JitRunner:
    """A runner registered for one job; ``encoded`` is its whole configuration with its key, a secret."""

    runner: RegisteredRunner
    encoded: str = field(repr=False)
