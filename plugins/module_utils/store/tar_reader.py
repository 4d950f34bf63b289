"""Open a tar of any compression and read its members with bounded headers."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from typing import IO, Any, cast

from .members import ArchiveError

_COMPRESSIONS = ((b"\x1f\x8b", "gz"), (b"\xfd7zXZ\x00", "xz"), (b"BZh", "bz2"), (b"\x28\xb5\x2f\xfd", "zst"))


# tarfile keeps all headers of a member in memory, and a header may unpack to any size. Names, attributes and
# a map of holes take a few KiB.
_MAX_HEADER_BYTES = 256 * 1024


class _Reader:
    """The headers of one member in ``stream``, up to the limit."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left = _MAX_HEADER_BYTES

    def read(self, size: int) -> bytes:
        self._left -= size
        if size < 0:  # a wrong length, which would mean all that is left
            raise ValueError("a negative length")
        _require(self._left >= 0)
        return self._stream.read(size)

    def seek(self, offset: int) -> int:
        return self._stream.seek(offset)

    def tell(self) -> int:
        return self._stream.tell()


def _require(is_short: bool) -> None:
    if not is_short:
        raise ArchiveError(f"it has headers of more than {_MAX_HEADER_BYTES} bytes")


class _TarMember(tarfile.TarInfo):
    """A member whose headers are short and valid.

    tarfile alone takes a broken header for the end of the archive.
    """

    @classmethod
    def frombuf(cls, buf: Any, encoding: Any, errors: str) -> _TarMember:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf.strip(b"\0"):  # neither the end of the file nor the zeros that mark the end
                raise _broken(error) from error
            raise

    @classmethod
    def fromtarfile(cls, tarfile: Any) -> _TarMember:
        """Read one member. tarfile calls this again for every header that belongs to it."""
        stream = tarfile.fileobj
        tarfile.fileobj = cast("Any", _Reader(cast("IO[bytes]", stream)))
        try:
            return super().fromtarfile(tarfile)
        except ValueError as error:
            raise _broken(error) from error
        finally:
            tarfile.fileobj = stream
            # Those of global headers stay, and one may stand before each member.
            kept = sum(len(key) + len(value) for key, value in tarfile.pax_headers.items())
            _require(kept <= _MAX_HEADER_BYTES)


def _broken(error: Exception) -> tarfile.ReadError:
    return tarfile.ReadError(f"a header inside is broken: {error}")


@contextlib.contextmanager
def open_tar(archive: str) -> Iterator[tarfile.TarFile]:
    """Open the tar ``archive`` to read its members in order.

    Raises ArchiveError when the host cannot read it, and tarfile's own errors.
    """
    with open(archive, "rb") as stream:
        head = stream.read(8)
    compression = next((name for magic, name in _COMPRESSIONS if head.startswith(magic)), "")
    if not compression or compression in tarfile.TarFile.OPEN_METH:
        mode: Any = f"r:{compression}"  # typeshed lists the modes of one Python version as literals
        with tarfile.open(archive, mode, tarinfo=_TarMember) as opened:
            yield opened
        return
    program = shutil.which("zstd") if compression == "zst" else None
    if program is None:
        hint = "; install zstd on the host" if compression == "zst" else ""
        raise ArchiveError(f"it is compressed with {compression}, which this host's Python cannot read{hint}")
    command = [program, "-dcq", "--", archive]
    with _output(command) as plain, tarfile.open(fileobj=plain, mode="r|", tarinfo=_TarMember) as opened:
        yield opened


def members_of(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members in order, and drop each.

    tarfile would keep all of them, with all their headers.
    """
    while (info := archive.next()) is not None:
        cast("Any", archive).members.clear()
        yield info


@contextlib.contextmanager
def _output(command: list[str]) -> Iterator[IO[bytes]]:
    """Yield the output of ``command``, which need not be read to its end.

    Raises ArchiveError when the command fails.
    """
    with subprocess.Popen(  # pylint: disable=ansible-bad-function
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        if process.stdout is None or process.stderr is None:
            raise AssertionError("both are pipes")
        try:
            yield process.stdout
            process.stdout.close()
            said = process.stderr.read(500).decode(errors="replace").split("\n")[0].strip()
            process.wait()
        finally:
            process.kill()  # does nothing to a process that has ended
        # Padding may be left unread; then the signal of a closed pipe has ended the program.
        if process.returncode > 0:
            raise ArchiveError(f"it is corrupt or truncated ({said or 'zstd gives no reason'})")
