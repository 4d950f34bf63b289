"""The names that the role system_packages asks for, by release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

VARS = Path(__file__).resolve().parents[2] / "roles" / "system_packages" / "vars"


def load(family: str) -> dict[str, Any]:
    """Return the data of a package manager."""
    data: dict[str, Any] = yaml.safe_load((VARS / f"{family}.yml").read_text(encoding="utf-8"))
    return data


def names(family: str, release: str) -> set[str]:
    """Return every name of every set for a major version of a distribution."""
    data = load(family)
    releases = data["__system_packages_releases"]
    sets = [
        *data["__system_packages_catalogue"].values(),
        *releases.get(release, releases["default"]).values(),
    ]
    return {name for each in sets for name in each}
