"""The archive of the stand-in runner, at the path of GitHub's releases."""

from __future__ import annotations

from pathlib import Path

from testbed.mirror import part_cache
from testbed.runner import package

VERSION = "2.336.0"
PACKAGE = Path(__file__).resolve().parents[1] / "runner"


def part() -> part_cache.Part:
    """Return the part with the archive that ``testbed.runner.package`` builds."""

    def make(www: Path) -> None:
        target = www / "actions" / "runner" / "releases" / "download" / f"v{VERSION}"
        target.mkdir(parents=True)
        package.build(target / f"actions-runner-linux-x64-{VERSION}.tar.gz")

    sources = sorted(
        path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    return part_cache.Part("runner", make, (Path(__file__), *sources), (VERSION,))
