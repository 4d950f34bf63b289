"""The real rustup-init, at the paths of upstream.

The tree also has the file that ``rustup self update`` reads.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from testbed.mirror import archives, part_cache, pypi
from testbed.mirror.toolchain import TARGET

VERSION = "1.29.0"
SHA256 = "4acc9acc76d5079515b46346a485974457b5a79893cfb01112423c89aeb5aa10"
MEMBER = "rustup-1.29.0.1.data/scripts/rustup"


def part(cache: Path) -> part_cache.Part:
    """Return the part with rustup-init, under ``archive`` and ``dist``."""

    def make(www: Path) -> None:
        program = www / "rustup" / "archive" / VERSION / TARGET / "rustup-init"
        program.parent.mkdir(parents=True)
        # rustup is a single binary; called as rustup-init it installs.
        archives.extract_member(pypi.RUSTUP.fetch(cache), MEMBER, program, SHA256)
        program.with_name("rustup-init.sha256").write_text(f"{SHA256} *./rustup-init\n", "utf-8")
        newest = www / "rustup" / "dist" / TARGET
        shutil.copytree(program.parent, newest, copy_function=_link)
        release = f"schema-version = '1'\nversion = '{VERSION}'\n"
        (www / "rustup" / "release-stable.toml").write_text(release, "utf-8")

    return part_cache.Part("rustup", make, (Path(__file__),), (VERSION, SHA256))


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)
