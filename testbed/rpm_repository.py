"""The local RPM repository, built in a container: this machine needs no RPM tools."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

from testbed.errors import TestbedError
from testbed.images import Recipe
from testbed.paths import Paths
from testbed.process import capture_bytes
from testbed.progress import Progress
from testbed.rpm_catalogue import Catalogue, render_comps, render_spec

BUILD_SECONDS = 300


def ensure_repository(catalogue: Catalogue, tools: Recipe, paths: Paths, progress: Progress) -> None:
    """Build ``rpm/`` of the mirror's tree unless it has the catalogue's packages."""
    target = paths.www / "rpm"
    stamp = paths.cache / "rpm.digest"
    digest = f"{catalogue.digest()} {tools.tag}\n"
    if (target / "repodata").is_dir() and stamp.exists() and stamp.read_text(encoding="ascii") == digest:
        return
    stamp.unlink(missing_ok=True)
    with progress.step("packages", f"building {len(catalogue.packages)} RPM packages"):
        argv = ["docker", "run", "--rm", "--interactive", "--network", "none", tools.tag, "build-repository"]
        status, packed, reason = capture_bytes(
            argv, stdin=pack_sources(catalogue), timeout_seconds=BUILD_SECONDS
        )
        if status != 0:
            raise TestbedError(
                f"The RPM repository could not be built in the image {tools.tag}: {reason}. "
                "Check images/nobara-host/packages.toml and run this again."
            )
        publish(packed, target)
    stamp.write_text(digest, encoding="ascii")


def pack_sources(catalogue: Catalogue) -> bytes:
    """Return the spec and comps file as a tar stream."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in (("packages.spec", render_spec(catalogue)), ("comps.xml", render_comps(catalogue))):
            data = text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def publish(packed: bytes, target: Path) -> None:
    """Unpack a finished repository next to ``target``, then replace ``target``."""
    fresh = target.with_name(".rpm-new")
    old = target.with_name(".rpm-old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(fresh, filter="data")
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)
