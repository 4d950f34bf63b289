"""The Range header of RFC 9110, section 14, for single ranges of bytes."""

from __future__ import annotations

import re
from typing import NamedTuple

_SINGLE = re.compile(r"bytes=(\d*)-(\d*)", re.IGNORECASE)


class ByteRange(NamedTuple):
    """A part of a file: offset of the first byte, and number of bytes (1 or more)."""

    start: int
    length: int


class UnsatisfiableRangeError(Exception):
    """The range has no byte of the file; the answer is 416."""


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """Return the requested range of a file of ``size`` bytes, or None for all of it.

    As the standard allows, everything but a single well-formed range is ignored. Raises
    UnsatisfiableRangeError when the range begins after the end of the file.
    """
    matched = _SINGLE.fullmatch(header.replace(" ", "")) if header else None
    if not matched or matched.group(1) == matched.group(2) == "":
        return None
    first, last = matched.groups()
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start >= end:
        raise UnsatisfiableRangeError
    return ByteRange(start, end - start)
