"""Opening tar files in any compression that this host can read: Python's own, or zstd by its program."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from typing import IO, Any

from ..errors import CiError

_COMPRESSIONS = ((b"\x1f\x8b", "gz"), (b"\xfd7zXZ\x00", "xz"), (b"BZh", "bz2"), (b"\x28\xb5\x2f\xfd", "zst"))


@contextlib.contextmanager
def open_tar(archive: str) -> Iterator[tarfile.TarFile]:
    """Open the tar ``archive`` for reading its members in order. Raises CiError in a few words when the host
    cannot read it, and tarfile's own errors.
    """
    with open(archive, "rb") as stream:
        head = stream.read(8)
    compression = next((name for magic, name in _COMPRESSIONS if head.startswith(magic)), "")
    if not compression or compression in tarfile.TarFile.OPEN_METH:
        mode: Any = f"r:{compression}"  # typeshed lists the modes of one Python version as literals
        with tarfile.open(archive, mode) as opened:
            yield opened
        return
    program = shutil.which("zstd") if compression == "zst" else None
    if program is None:
        hint = "; install zstd on the host" if compression == "zst" else ""
        raise CiError(f"it is compressed with {compression}, which this host's Python cannot read{hint}")
    with _output([program, "-dcq", "--", archive]) as plain, tarfile.open(fileobj=plain, mode="r|") as opened:
        yield opened


@contextlib.contextmanager
def _output(command: list[str]) -> Iterator[IO[bytes]]:
    """Give what ``command`` writes; it may be left unread. Raises CiError when the command fails."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        if process.stdout is None or process.stderr is None:
            raise AssertionError("both are pipes")
        try:
            yield process.stdout
            process.stdout.close()
            told = process.stderr.read(500).decode(errors="replace").split("\n")[0].strip()
        except BaseException:
            process.kill()
            raise
        # Padding may follow that nobody reads; then the signal of a closed pipe ends the program.
        if process.wait() > 0:
            raise CiError(f"it is corrupt or truncated ({told or 'zstd gives no reason'})")
