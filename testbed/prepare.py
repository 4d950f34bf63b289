"""The files that the services serve, made by one process per service.

A separate process can report progress, run next to the image builds, and be ended at once.
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
    """Return a digest of the code and options that decide the result."""
    digest = hashlib.sha256(f"{model_mib} {sys.version_info[:2]}".encode())
    for name in SOURCES:
        for path in sorted((root / name).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def is_prepared(paths: Paths, digest: str) -> bool:
    """Return whether everything was made by the same code with the same options."""
    stamp = paths.cache / "prepared.digest"
    made = (paths.www / "manifest.json", paths.cache / "github" / "openapi.json", stamp)
    return all(path.exists() for path in made) and stamp.read_text(encoding="ascii").strip() == digest


def mark_prepared(paths: Paths, digest: str) -> None:
    """Record that everything was made."""
    (paths.cache / "prepared.digest").write_text(digest + "\n", encoding="ascii")


def run_part(part: str, title: str, arguments: list[str], paths: Paths, progress: Progress) -> None:
    """Make one service's files in a separate process."""
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
            f"The testbed failed at {title}: {outcome.reason.rstrip('.')}. "
            f"Read its log {log} and run this again."
        )


def prepare_mirror(paths: Paths, model_mib: int, progress: Progress) -> None:
    """Make the mirror's tree, without the RPM repository."""
    run_part(
        "mirror",
        "making the artifacts",
        ["testbed.mirror", "build", "--model-mib", str(model_mib)],
        paths,
        progress,
    )


def prepare_github(paths: Paths, progress: Progress) -> None:
    """Make the emulator's copy of GitHub's API description."""
    run_part("github", "making the API description", ["testbed.github", "prepare"], paths, progress)
