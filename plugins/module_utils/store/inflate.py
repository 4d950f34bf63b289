"""Reading the members of a zip from several threads at once, with the fastest inflate this Python has.

zipfile shares one file position between all readers, under a lock, and copies what it reads several times;
here every reader has its own position. zipfile still finds and judges the members.
"""

from __future__ import annotations

import os
import threading
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, Callable

# Small enough to stay in the processor's cache between inflating, hashing and writing.
_PIECE_BYTES = 128 * 1024
_LOCAL_HEADER_BYTES = 30


def _fastest_inflate() -> Callable[[], Any]:
    """Return what makes a decompressor of raw deflate: isal is two to three times faster than zlib."""
    try:
        from isal import isal_zlib
    except ImportError:
        return lambda: zlib.decompressobj(-zlib.MAX_WBITS)
    return lambda: isal_zlib.decompressobj(-zlib.MAX_WBITS)


_decompressor = _fastest_inflate()
# ZipFile.open skips a member's extra field relative to the one position that all threads share, and takes the
# member for one that overlaps the next when another thread has moved it (CPython from 3.11.8, 3.12.2, 3.13).
_one_opens = threading.Lock()


def member_pieces(source: zipfile.ZipFile, fd: int, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the bytes of the member ``info`` of ``source``, whose file is also open as ``fd``.

    Raises zipfile.BadZipFile, zlib.error or EOFError for what is not as the archive says.
    """
    # Opening compares the member's own header with the directory's.
    with _one_opens, source.open(info) as stream:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            while piece := stream.read(_PIECE_BYTES):
                yield piece
            return
    pieces = _packed(fd, info)
    checksum, size = 0, 0
    for piece in pieces if info.compress_type == zipfile.ZIP_STORED else _inflated(pieces):
        checksum = zlib.crc32(piece, checksum)
        size += len(piece)
        yield piece
    if checksum != info.CRC or size != info.file_size:
        raise zipfile.BadZipFile(f"Bad CRC-32 or length of '{info.filename}'")


def _packed(fd: int, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the bytes of the member as they lie in the archive."""
    header = os.pread(fd, _LOCAL_HEADER_BYTES, info.header_offset)
    name_and_extra = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    offset = info.header_offset + _LOCAL_HEADER_BYTES + name_and_extra
    end = offset + info.compress_size
    while offset < end:
        piece = os.pread(fd, min(_PIECE_BYTES, end - offset), offset)
        if not piece:
            raise EOFError(f"'{info.filename}' is cut off")
        offset += len(piece)
        yield piece


def _inflated(packed: Iterator[bytes]) -> Iterator[bytes]:
    inflate = _decompressor()
    for piece in packed:
        while piece and not inflate.eof:
            plain = inflate.decompress(piece, _PIECE_BYTES)
            piece = inflate.unconsumed_tail
            if plain:
                yield plain
    if not inflate.eof:
        yield inflate.flush()
