"""The package of the stand-in runner.

Like GitHub's own, it is a tar.gz without a top directory.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

TREE = Path(__file__).with_name("tree")
VERSION_FILE = "./bin/standin/VERSION"
# A fixed time for all members, so that the same tree always gives the same bytes.
PACKED_AT = 1_767_225_600


def default_version() -> str:
    """Return the version in the tree itself."""
    return (TREE / VERSION_FILE).read_text(encoding="ascii").strip()


def build(destination: Path, *, version: str | None = None) -> None:
    """Write the package to ``destination``, making its directory if necessary.

    ``Runner.Listener --version`` prints ``version``; tests of upgrades set it. The same tree and version give
    the same bytes everywhere.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(_members()):
            _add(archive, path, version or default_version())
    partial = destination.with_name(f".{destination.name}.{os.getpid()}")
    partial.write_bytes(gzip.compress(plain.getvalue(), mtime=0))
    partial.replace(destination)


def _members() -> list[Path]:
    return [path for path in (TREE, *TREE.rglob("*")) if "__pycache__" not in path.parts]


def _add(archive: tarfile.TarFile, path: Path, version: str) -> None:
    relative = path.relative_to(TREE).as_posix()
    name = "./" if relative == "." else f"./{relative}"
    member = tarfile.TarInfo(name)
    member.mtime, member.uid, member.gid, member.uname, member.gname = PACKED_AT, 0, 0, "root", "root"
    # Modes come from the executable bit alone, so that the umask of the checkout does not change the package.
    executable = path.is_dir() or os.stat(path).st_mode & 0o100
    member.mode = 0o755 if executable else 0o644
    if path.is_dir():
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
        return
    content = f"{version}\n".encode() if name == VERSION_FILE else path.read_bytes()
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
