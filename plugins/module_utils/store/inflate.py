"""Reads the members of a zip from several threads at once.

zipfile shares one file position between all readers, under a lock, and copies the bytes several times; here
every reader has its own position. zipfile still lists and checks the members.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, Callable

INFLATE: Any = zlib
with contextlib.suppress(ImportError):
    # The package python3-isal takes less than half the time of zlib.
    INFLATE = importlib.import_module("isal.isal_zlib")
# Small enough to stay in the processor's cache between inflating, hashing and writing.
PIECE_BYTES = 128 * 1024
LOCAL_HEADER_BYTES = 30
# ZipFile.open skips a member's extra field relative to the one position that all threads share, and takes the
# member for one that overlaps the next when another thread has moved it (CPython from 3.11.8, 3.12.2, 3.13).
_one_opens = threading.Lock()


def check_header(source: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Compare the member's own header with the directory's.

    Raises zipfile.BadZipFile when they differ.
    """
    with _one_opens, source.open(info):
        pass


def member_pieces(source: zipfile.ZipFile, fd: int, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the bytes of the member ``info`` of ``source``.

    Its file is also open as ``fd``. Raises zipfile.BadZipFile, zlib.error or EOFError for a damaged archive.
    """
    # Opening compares the member's own header with the directory's.
    with _one_opens, source.open(info) as stream:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            while piece := stream.read(PIECE_BYTES):
                yield piece
            return
    yield from checked_pieces(_packed(fd, info), info.compress_type, info.CRC, info.file_size)


def checked_pieces(packed: Iterator[bytes], method: int, crc: int, expected_bytes: int) -> Iterator[bytes]:
    """Yield the content of the stored or deflated ``packed``.

    Raises zipfile.BadZipFile when it differs from ``crc`` and ``expected_bytes``, and as soon as it is
    longer.
    """
    checksum, size = 0, 0
    for piece in packed if method == zipfile.ZIP_STORED else _inflated(packed):
        checksum = zlib.crc32(piece, checksum)
        size += len(piece)
        if size > expected_bytes:
            break
        yield piece
    if checksum != crc or size != expected_bytes:
        raise zipfile.BadZipFile(f"Bad CRC-32 or length, where {expected_bytes} bytes are declared")


def _packed(fd: int, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the bytes of the member as they are in the archive."""
    header = os.pread(fd, LOCAL_HEADER_BYTES, info.header_offset)
    name_and_extra = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    offset = info.header_offset + LOCAL_HEADER_BYTES + name_and_extra
    end = offset + info.compress_size
    while offset < end:
        piece = os.pread(fd, min(PIECE_BYTES, end - offset), offset)
        if not piece:
            raise EOFError(f"'{info.filename}' is cut off")
        offset += len(piece)
        yield piece


def _inflated(packed: Iterator[bytes]) -> Iterator[bytes]:
    inflate = INFLATE.decompressobj(-zlib.MAX_WBITS)
    for piece in packed:
        while piece and not inflate.eof:
            plain = _translated(inflate.decompress, piece, PIECE_BYTES)
            piece = inflate.unconsumed_tail
            if plain:
                yield plain
    if not inflate.eof:
        yield _translated(inflate.flush)


def _translated(call: Callable[..., bytes], *arguments: Any) -> bytes:
    """Call ``call`` and turn isal's own error into zlib.error."""
    try:
        return call(*arguments)
    except INFLATE.error as error:
        raise zlib.error(str(error)) from error
