"""Unpacks untrusted zip and tar archives.

Every entry is checked before it is written. Tar files may have any compression that this Python reads, or
zstd, which the program ``zstd`` decompresses.
"""

from __future__ import annotations

import contextlib
import lzma
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
import zlib
from calendar import timegm
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Optional, cast

from .inflate import check_header, member_pieces
from .members import DIRECTORY, FILE, HARDLINK, SYMLINK, ArchiveError, Limits, Outline, member_path
from .receipt import CHUNK_BYTES
from .staging import Staging, plain_mtime

if TYPE_CHECKING:
    from .stream_unzip import Unpacked

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


# Returns the content of a zip's member that was unpacked while it arrived, None for no such content.
Take = Callable[[zipfile.ZipInfo], "Optional[Unpacked]"]
# Called with the bytes unpacked so far and, where the archive states it, their total; may raise to refuse
# them.
Report = Callable[[int, Optional[int]], None]

_MAX_LINK_BYTES = 4096
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    UnicodeError,
    NotImplementedError,
    RuntimeError,
)


class _Member(NamedTuple):
    """One zip entry with its path in the tree."""

    path: str
    info: zipfile.ZipInfo
    kind: str
    target: str = ""


def unpack(
    archive: str,
    form: str,
    staging: Callable[[int], Staging],
    strip: int,
    limits: Limits,
    workers: int,
    report: Report,
    take: Take = lambda _info: None,
) -> Staging:
    """Unpack the ``form`` (zip or tar) file ``archive`` and return the tree.

    The tree is complete but not synced. ``staging`` makes the tree to fill, from the expected number of files
    (0: not known). Raises ArchiveError for a fault of the archive; OSError is of the disk.
    """
    try:
        if form == "zip":
            return _unpack_zip(archive, staging, strip, limits, workers, report, take)
        return _unpack_tar(archive, staging, strip, limits, report)
    except _BROKEN as error:
        reason = str(error) or type(error).__name__
        raise ArchiveError(
            f"it is corrupt, truncated or of a kind this Python cannot read ({reason})"
        ) from error


def _placed(name: str, strip: int, is_directory: bool) -> Optional[str]:
    """Return the path of the member ``name`` in the tree.

    None is for a directory of stripped parts only.
    """
    path = member_path(name, strip)
    if path is None and not is_directory:
        raise ArchiveError(f"'{name}' is not below {strip} directories, as strip_components says")
    return path


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _counted(chunks: Iterable[bytes], report: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in chunks:
        report(len(chunk))
        yield chunk


def _unpack_zip(
    archive: str,
    staging: Callable[[int], Staging],
    strip: int,
    limits: Limits,
    workers: int,
    report: Report,
    take: Take,
) -> Staging:
    with open(archive, "rb") as stream, zipfile.ZipFile(stream) as source:
        outline = Outline(limits, os.path.getsize(archive))
        members = _zip_members(source, strip, outline)
        report(0, outline.unpacked_bytes)
        files = [member for member in members if member.kind == FILE]
        tree = staging(len(files))
        for member in members:
            if member.kind == DIRECTORY:
                tree.directory(member.path)
        count = _Counter(report, outline.unpacked_bytes)
        _write_zip_files(source, stream.fileno(), files, tree, workers, count, take)
        for member in members:
            if member.kind == SYMLINK:
                tree.symlink(member.path, member.target)
        return tree


def _zip_members(source: zipfile.ZipFile, strip: int, outline: Outline) -> list[_Member]:
    infos = source.infolist()
    _refuse_overlap(infos)
    members = []
    for info in infos:
        outline.count()
        kind, target = _zip_kind(source, info)
        path = _placed(info.orig_filename, strip, kind == DIRECTORY)
        if path is not None:
            outline.add(path, kind, info.file_size if kind == FILE else 0, target)
            members.append(_Member(path, info, kind, target))
    outline.finish()
    return members


def _refuse_overlap(infos: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse entries that share compressed bytes.

    Small zip bombs are made of them (D. Fifield, 2019).
    """
    end = 0
    for info in sorted(infos, key=lambda item: item.header_offset):
        if info.header_offset < end:
            raise ArchiveError(f"'{info.filename}' overlaps the entry before it")
        end = info.header_offset + 30 + info.compress_size


def _zip_kind(source: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[str, str]:
    if info.flag_bits & 1:
        raise ArchiveError(f"'{info.filename}' is encrypted")
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        if info.file_size > _MAX_LINK_BYTES:
            raise ArchiveError(f"the link '{info.filename}' has a target of {info.file_size} bytes")
        return SYMLINK, os.fsdecode(source.read(info))
    if info.is_dir():
        return DIRECTORY, ""
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise ArchiveError(f"'{info.filename}' is neither a file, a directory nor a link")
    return FILE, ""


def _zip_mtime(info: zipfile.ZipInfo) -> int:
    """Return the entry's time, read as UTC.

    The format has no time zone, and every host must get the same tree.
    """
    try:
        return plain_mtime(timegm((*info.date_time, 0, 0, 0)))
    except (ValueError, OverflowError):
        return plain_mtime(0)


class _Counter:
    """The count of bytes that several threads unpacked.

    A lost update only makes the shown progress a little old.
    """

    def __init__(self, report: Report, total: Optional[int]) -> None:
        self._report, self._total, self._done = report, total, 0

    def __call__(self, count: int) -> None:
        self._done += count
        self._report(self._done, self._total)


def _write_zip_files(
    source: zipfile.ZipFile,
    fd: int,
    files: Sequence[_Member],
    tree: Staging,
    workers: int,
    count: _Counter,
    take: Take,
) -> None:
    def write(member: _Member) -> None:
        executable, mtime = bool(member.info.external_attr >> 16 & 0o111), _zip_mtime(member.info)
        done = take(member.info)
        if done is not None:
            check_header(source, member.info)
            written = tree.adopt(member.path, done.path, done.sha256, executable=executable, mtime=mtime)
            count(written.size)
        else:
            pieces = _counted(member_pieces(source, fd, member.info), count)
            written = tree.file(member.path, pieces, executable=executable, mtime=mtime)
        if written.size != member.info.file_size:
            raise ArchiveError(
                f"'{member.path}' has {written.size} bytes where {member.info.file_size} are declared"
            )

    # Biggest first: a big file begun last would keep one thread busy while the others are idle.
    ordered = sorted(files, key=lambda member: -member.info.file_size)
    with ThreadPoolExecutor(workers) as pool:
        pending = [pool.submit(write, member) for member in ordered]
        try:
            for future in pending:
                future.result()
        except BaseException:
            for future in pending:
                future.cancel()
            raise


def _unpack_tar(
    archive: str, staging: Callable[[int], Staging], strip: int, limits: Limits, report: Report
) -> Staging:
    outline = Outline(limits, os.path.getsize(archive))
    # The number of files is not known before the end, so one sync at the end is the safe choice.
    tree = staging(limits.max_entries)
    count = _Counter(report, None)
    with open_tar(archive) as source:
        for info in members_of(source):
            outline.count()
            _add_tar_member(source, info, strip, outline, tree, count)
    outline.finish()
    for path, target in outline.links.items():
        tree.symlink(path, target)
    return tree


def _add_tar_member(
    source: tarfile.TarFile,
    info: tarfile.TarInfo,
    strip: int,
    outline: Outline,
    tree: Staging,
    count: _Counter,
) -> None:
    path = _placed(info.name, strip, info.isdir())
    if path is None:
        return
    if info.isdir():
        outline.add(path, DIRECTORY)
        tree.directory(path)
    elif info.issym():
        # Made at the very end: while files are written, no path can lead through a link.
        outline.add(path, SYMLINK, target=info.linkname)
    elif info.islnk():
        target = _placed(info.linkname, strip, False) or ""
        outline.add(path, HARDLINK, target=target)
        tree.hardlink(path, target)
    elif info.isreg():
        outline.add(path, FILE, info.size)
        stream = source.extractfile(info)
        if stream is None:
            raise ArchiveError(f"'{path}' has no content")
        written = tree.file(
            path,
            _counted(_chunks(stream), count),
            executable=bool(info.mode & 0o111),
            mtime=plain_mtime(info.mtime),
        )
        if written.size != info.size:
            raise ArchiveError(f"'{path}' ends after {written.size} of {info.size} bytes")
    else:
        raise ArchiveError(f"'{path}' is neither a file, a directory nor a link")
