"""The mirror's tree, assembled from separately built parts."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from testbed.errors import TestbedError
from testbed.mirror import debian, models, registry, runner_archive, rust_dist, rustup, vosk
from testbed.mirror.part_cache import Built, Part, PartCache

MANIFEST = "manifest.json"


def build(root: Path, cache: Path, model_mib: int = 64, progress: Callable[[str], None] = print) -> None:
    """Bring the tree at ``root`` up to date.

    ``cache`` keeps downloads and finished parts. ``model_mib`` is the unpacked size of the large model in
    MiB. Other files in ``root`` stay. ``manifest.json`` has ``sha256`` and ``bytes`` of each file that is
    served unchanged, by path. Raises TestbedError when a download fails or has a wrong digest.
    """
    if model_mib < 1:
        raise TestbedError(f"The large model cannot be {model_mib} MiB large; give --model-mib 1 or more.")
    finished = PartCache(cache, progress)
    with finished.locked():
        publish(root, [finished.built(part) for part in _parts(cache, model_mib, progress)], cache)


def _parts(cache: Path, model_mib: int, progress: Callable[[str], None]) -> list[Part]:
    obstacle = debian.obstacle()
    if obstacle:
        progress(f"the stable toolchain can only print its version here, because {obstacle}")
    return [
        vosk.part(cache),
        models.part(models.SMALL, 0),
        models.part(models.LARGE, model_mib),
        rustup.part(cache),
        rust_dist.stub_part(),
        rust_dist.stable_part(cache, obstacle is None, progress),
        registry.part(),
        runner_archive.part(),
    ]


def publish(root: Path, parts: Sequence[Built], cache: Path) -> None:
    """Link the files of ``parts`` into ``root``; remove those of earlier builds."""
    root.mkdir(parents=True, exist_ok=True)
    published = (
        cache / "mirror" / f"published-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]}.json"
    )
    before = set(json.loads(published.read_text("utf-8"))) if published.is_file() else set()
    now = {path: part.www / path for part in parts for path in part.paths()}
    # Written before the first change: after a crash the next build knows which files are ours.
    _write(published, json.dumps(sorted(before | set(now)), indent=1))
    for path, source in now.items():
        _place(source, root / path)
    for path in before - set(now):
        (root / path).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.removedirs((root / path).parent)
    manifest = {path: entry for part in parts for path, entry in part.manifest.items()}
    _write(root / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    _write(published, json.dumps(sorted(now), indent=1))


def _place(source: Path, target: Path) -> None:
    # A rename between two links to the same file does nothing and would leave the draft.
    if target.exists() and target.samefile(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.new")
    draft.unlink(missing_ok=True)
    try:
        draft.hardlink_to(source)
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK}:
            raise
        shutil.copy2(source, draft)
    draft.replace(target)


def _write(path: Path, text: str) -> None:
    """Replace a file atomically, if its content changes."""
    if path.is_file() and path.read_text("utf-8") == text:
        return
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text, "utf-8")
    draft.replace(path)
