"""Unpacks untrusted zip and tar archives.

Every entry is checked before it is written. Tar files may have any compression that this Python reads, or
zstd, which the program ``zstd`` decompresses.
"""

from __future__ import annotations

import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from calendar import timegm
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, NamedTuple, Optional

from .inflate import check_header, member_pieces
from .members import DIRECTORY, FILE, HARDLINK, SYMLINK, ArchiveError, Limits, Outline, Placing
from .receipt import CHUNK_BYTES
from .staging import Staging, plain_mtime
from .tar_reader import members_of, open_tar

if TYPE_CHECKING:
    from .stream_unzip import Unpacked


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
        members = _zip_members(source, Placing(strip), outline)
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


def _zip_members(source: zipfile.ZipFile, placing: Placing, outline: Outline) -> list[_Member]:
    infos = source.infolist()
    _refuse_overlap(infos)
    members = []
    for info in infos:
        outline.count()
        kind, target = _zip_kind(source, info)
        path = placing.place(info.orig_filename, kind == DIRECTORY)
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
    outline, placing = Outline(limits, os.path.getsize(archive)), Placing(strip)
    # The number of files is not known before the end, so one sync at the end is the safe choice.
    tree = staging(limits.max_entries)
    count = _Counter(report, None)
    with open_tar(archive) as source:
        for info in members_of(source):
            outline.count()
            _add_tar_member(source, info, placing, outline, tree, count)
    outline.finish()
    for path, target in outline.links.items():
        tree.symlink(path, target)
    return tree


def _add_tar_member(
    source: tarfile.TarFile,
    info: tarfile.TarInfo,
    placing: Placing,
    outline: Outline,
    tree: Staging,
    count: _Counter,
) -> None:
    path = placing.place(info.name, info.isdir())
    if path is None:
        return
    if info.isdir():
        outline.add(path, DIRECTORY)
        tree.directory(path)
    elif info.issym():
        # Made at the very end: while files are written, no path can lead through a link.
        outline.add(path, SYMLINK, target=info.linkname)
    elif info.islnk():
        target = placing.place(info.linkname, False) or ""
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
