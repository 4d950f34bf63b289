"""The files that make a directory a registered runner."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUNNER = ".runner"
CREDENTIALS = ".credentials"
KEY = ".credentials_rsaparams"
# The original may have moved its files to newer names; whoever cleans up must know them.
ALL = (RUNNER, ".runner_migrated", CREDENTIALS, ".credentials_migrated", KEY)


@dataclass(frozen=True)
class Registration:
    """The part of ``.runner`` that the listener needs."""

    agent_id: int
    agent_name: str
    pool_name: str
    github_url: str
    tenant_url: str
    server_url: str
    work_folder: str
    ephemeral: bool


def is_configured(root: Path) -> bool:
    """Tell whether ``root`` holds a registration, under its old or its newer name."""
    return (root / RUNNER).exists() or (root / ".runner_migrated").exists()


def save(path: Path, content: dict[str, Any], *, mode: int | None = None) -> None:
    """Write indented JSON with a byte order mark, as .NET does; ``mode`` where the original sets one."""
    path.write_text(json.dumps(content, indent=2), encoding="utf-8-sig")
    if mode is not None:
        os.chmod(path, mode)


def read_exactly(path: Path) -> dict[str, Any]:
    """Return a JSON object; a byte order mark is skipped."""
    return dict(json.loads(path.read_text(encoding="utf-8-sig")))


def read(path: Path) -> dict[str, Any]:
    """Return a JSON object with its keys in lower case: a JIT configuration spells them otherwise."""
    return {key.lower(): value for key, value in read_exactly(path).items()}


def load(root: Path) -> Registration:
    """Return the registration in ``root``."""
    found = read(root / RUNNER)
    return Registration(
        agent_id=int(found["agentid"]),
        agent_name=str(found["agentname"]),
        pool_name=str(found.get("poolname", "Default")),
        github_url=str(found["githuburl"]),
        tenant_url=str(found["serverurl"]),
        server_url=str(found.get("serverurlv2") or found["serverurl"]),
        work_folder=str(found.get("workfolder", "_work")),
        ephemeral=str(found.get("ephemeral", "")).lower() == "true",
    )


def delete(root: Path) -> None:
    """Remove the registration's files; .env, .path, svc.sh, logs and work stay."""
    for name in ALL:
        (root / name).unlink(missing_ok=True)
