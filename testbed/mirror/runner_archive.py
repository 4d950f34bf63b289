"""The stand-in runner's tarball, where GitHub's releases have the real one."""

from __future__ import annotations

import importlib
from pathlib import Path

from testbed.errors import TestbedError
from testbed.mirror import workshop

VERSION = "2.336.0"
PACKAGE = Path(__file__).resolve().parents[1] / "runner"


def part() -> workshop.Part:
    """Return the part with the archive that ``testbed.runner.package.build`` makes."""

    def make(www: Path) -> None:
        target = www / "actions" / "runner" / "releases" / "download" / f"v{VERSION}"
        target.mkdir(parents=True)
        try:
            # Late, so that the mirror's other parts do not need the runner.
            package = importlib.import_module("testbed.runner.package")
        except ImportError as error:
            raise TestbedError(
                f"The stand-in runner cannot be packed: {error}; the checkout is incomplete."
            ) from error
        package.build(target / f"actions-runner-linux-x64-{VERSION}.tar.gz")

    sources = sorted(
        path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    return workshop.Part("runner", make, (Path(__file__), *sources), (VERSION,))
