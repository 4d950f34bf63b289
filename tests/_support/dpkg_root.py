"""A dpkg database of its own with small packages: the real dpkg, and nothing of this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

CONTROL = """\
Package: {name}
Version: {version}
Architecture: all
Maintainer: tests <tests@example.invalid>
Description: {name}
"""


class DpkgRoot:
    """Installs packages below ``root``; every dpkg of this process works there."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root = root
        database = root / "var/lib/dpkg"
        (database / "updates").mkdir(parents=True)
        (database / "info").mkdir()
        (database / "status").touch()
        monkeypatch.setenv("DPKG_ROOT", str(root))
        monkeypatch.setenv("DPKG_ADMINDIR", str(database))
        monkeypatch.setenv("DPKG_FORCE", "not-root,bad-path")

    def install(self, name: str, depends: str = "", provides: str = "", version: str = "1.0") -> None:
        """Build and install an empty package."""
        folder = self._root / f"build-{name}"
        (folder / "DEBIAN").mkdir(parents=True)
        control = CONTROL.format(name=name, version=version)
        control += f"Depends: {depends}\n" if depends else ""
        control += f"Provides: {provides}\n" if provides else ""
        (folder / "DEBIAN/control").write_text(control)
        archive = self._root / f"{name}.deb"
        for argv in (
            ["dpkg-deb", "--root-owner-group", "--build", str(folder), str(archive)],
            ["dpkg", "--install", str(archive)],
        ):
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"

    def names(self) -> set[str]:
        """Return the installed packages, read from the database without the help of dpkg."""
        stanzas = (self._root / "var/lib/dpkg/status").read_text().split("\n\n")
        return {
            line.partition(": ")[2]
            for stanza in stanzas
            if " ok installed" in stanza
            for line in stanza.splitlines()
            if line.startswith("Package: ")
        }
