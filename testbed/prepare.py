"""Makes what the services serve, each part in its own process.

Separate processes can be shown as they go, run beside the image builds, and be ended at once.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from testbed.errors import TestbedError
from testbed.paths import CHECKOUT, Paths
from testbed.process import stream
from testbed.progress import Progress

DEFAULT_MODEL_MIB = 64
SOURCES = ("github", "mirror", "runner")


def source_digest(model_mib: int, root: Path = CHECKOUT / "testbed") -> str:
    """Return a name for the code and the options that decide what gets made."""
    digest = hashlib.sha256(f"{model_mib} {sys.version_info[:2]}".encode())
    for name in SOURCES:
        for path in sorted((root / name).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def is_prepared(paths: Paths, digest: str) -> bool:
    """Tell whether everything was made by the same code with the same options."""
    stamp = paths.cache / "prepared.digest"
    made = (paths.www / "manifest.json", paths.cache / "github" / "openapi.json", stamp)
    return all(path.exists() for path in made) and stamp.read_text(encoding="ascii").strip() == digest


def mark_prepared(paths: Paths, digest: str) -> None:
    """Note that everything was made."""
    (paths.cache / "prepared.digest").write_text(digest + "\n", encoding="ascii")


def run_part(part: str, title: str, arguments: list[str], paths: Paths, progress: Progress) -> None:
    """Make one part in a process of its own; its lines are shown when it is at work for long."""
    log = paths.logs / f"{part}.log"
    with progress.step(part, title) as report:
        outcome = stream(
            [sys.executable, "-u", "-m", *arguments],
            log=log,
            report=report,
            environment={"COLDVOX_TESTBED_DIR": str(paths.root), "PYTHONPATH": str(CHECKOUT)},
        )
    if outcome.status != 0:
        raise TestbedError(
            f"The testbed failed at {title}: {outcome.reason.rstrip('.')} (all of it is in {log})."
        )


def prepare_mirror(paths: Paths, model_mib: int, progress: Progress) -> None:
    """Make the tree that the mirror serves, the RPM repository apart."""
    run_part(
        "mirror",
        "making the artifacts",
        ["testbed.mirror", "build", "--model-mib", str(model_mib)],
        paths,
        progress,
    )


def prepare_github(paths: Paths, progress: Progress) -> None:
    """Cut GitHub's description of its API for the emulator."""
    run_part("github", "making the API description", ["testbed.github", "prepare"], paths, progress)
