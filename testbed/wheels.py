"""Python wheels for the host images, pinned by digest and kept in the cache."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from testbed.errors import TestbedError
from testbed.process import capture

#: The Python of Debian 13, and the oldest C library that the wheels need.
PYTHON = "3.13"
PLATFORM = "manylinux_2_28_x86_64"


def ensure_wheels(requirements: Path, cache: Path) -> list[Path]:
    """Return the wheels that ``requirements`` pins, downloading them if necessary.

    pip compares the digests; every line of ``requirements`` must have one.
    """
    name = hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    home = cache / "wheels" / name
    if not home.is_dir():
        fresh = home.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        target = ["--python-version", PYTHON, "--platform", PLATFORM, "--only-binary=:all:"]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        argv = [*pip, "--no-deps", "--require-hashes", *target, "--dest", str(fresh), "-r", str(requirements)]
        outcome = capture(argv, timeout_seconds=300)
        if outcome.status != 0:
            raise TestbedError(
                f"The program pip could not download the wheels of {requirements}: {outcome.reason}; "
                "check that the package index can be reached and run this again."
            )
        fresh.rename(home)
    return sorted(home.glob("*.whl"))
