"""The files of a registered runner."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUNNER = ".runner"
CREDENTIALS = ".credentials"
KEY = ".credentials_rsaparams"
# The original may have moved its files to newer names; a cleanup must remove those too.
ALL = (RUNNER, ".runner_migrated", CREDENTIALS, ".credentials_migrated", KEY)


@dataclass(frozen=True)
class Registration:
    """The part of ``.runner`` that the listener needs."""

    agent_id: int
    agent_name: str
    github_url: str
    tenant_url: str
    server_url: str
    work_folder: str
    ephemeral: bool


def is_configured(root: Path) -> bool:
    """Return whether ``root`` has a registration, under the old or the newer name."""
    return (root / RUNNER).exists() or (root / ".runner_migrated").exists()


def save(path: Path, content: dict[str, Any], *, mode: int | None = None) -> None:
    """Write indented JSON with a byte order mark, as .NET does.

    ``mode`` is set where the original sets one.
    """
    path.write_text(json.dumps(content, indent=2), encoding="utf-8-sig")
    if mode is not None:
        os.chmod(path, mode)


def read_exactly(path: Path) -> dict[str, Any]:
    """Return a JSON object, skipping a byte order mark."""
    return dict(json.loads(path.read_text(encoding="utf-8-sig")))


def read(path: Path) -> dict[str, Any]:
    """Return a JSON object with its keys in lower case.

    A JIT configuration spells them differently.
    """
    return {key.lower(): value for key, value in read_exactly(path).items()}


def load(root: Path) -> Registration:
    """Return the registration in ``root``."""
    content = read(root / RUNNER)
    return Registration(
        agent_id=int(content["agentid"]),
        agent_name=str(content["agentname"]),
        github_url=str(content["githuburl"]),
        tenant_url=str(content["serverurl"]),
        server_url=str(content.get("serverurlv2") or content["serverurl"]),
        work_folder=str(content.get("workfolder", "_work")),
        ephemeral=str(content.get("ephemeral", "")).lower() == "true",
    )


def delete(root: Path) -> None:
    """Remove the registration; .env, .path, svc.sh, logs and work directory stay."""
    for name in ALL:
        (root / name).unlink(missing_ok=True)
