"""Builds the tarball of a release into build/release.

``scripts/release.py v0.2.0``. Refuses a tag that galaxy.yml, the changelog or the README do not agree with.
Next to the tarball is
``notes.md``, the release's part of the changelog.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).resolve().parents[1]
TARGET = CHECKOUT / "build" / "release"


def refusals(
    tag: str, version: str, released: Collection[str], fragments: Collection[str], readme: str
) -> list[str]:
    """Return why ``tag`` cannot be released, one sentence each.

    ``version`` is that of galaxy.yml, ``released`` the versions in the changelog, ``fragments`` the file
    names of the changes that no release has, ``readme`` the text of README.md.
    """
    said = []
    if tag != f"v{version}":
        said.append(f"The tag is '{tag}', but galaxy.yml has version {version}. Make them agree.")
    if version not in released:
        said.append(f"The changelog has no release {version}. Run 'antsibull-changelog release'.")
    if fragments:
        said.append(
            f"No release has the fragments {', '.join(sorted(fragments))}. Run 'antsibull-changelog release'."
        )
    if f"coldvox-ci-{version}.tar.gz" not in readme:
        said.append(f"README.md does not name coldvox-ci-{version}.tar.gz. Correct the file name there.")
    return said


def main(tag: str) -> int:
    """Check, then build."""
    galaxy = yaml.safe_load((CHECKOUT / "galaxy.yml").read_text(encoding="utf-8"))
    changelog = CHECKOUT / "changelogs" / "changelog.yaml"
    released = yaml.safe_load(changelog.read_text(encoding="utf-8"))["releases"] if changelog.exists() else {}
    said = refusals(
        tag,
        galaxy["version"],
        released,
        [path.name for path in (CHECKOUT / "changelogs" / "fragments").glob("*.yml")],
        (CHECKOUT / "README.md").read_text(encoding="utf-8"),
    )
    if said:
        print("\n".join(said), file=sys.stderr)
        return 1
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    programs = Path(sys.executable).parent
    notes = ("generate", "--only-latest", "--output", TARGET / "notes.md", "--output-format", "md")
    subprocess.run([programs / "antsibull-changelog", *notes, galaxy["version"]], cwd=CHECKOUT, check=True)
    build = ("collection", "build", "--output-path", TARGET)
    subprocess.run([programs / "ansible-galaxy", *build, CHECKOUT], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
