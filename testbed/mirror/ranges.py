"""The Range header of RFC 9110, section 14, as far as single ranges of bytes go."""

from __future__ import annotations

import re
from typing import NamedTuple

_SINGLE = re.compile(r"bytes=(\d*)-(\d*)", re.IGNORECASE)


class ByteRange(NamedTuple):
    """A part of a file: the first byte's offset and the number of bytes, at least 1."""

    start: int
    length: int


class UnsatisfiableRangeError(Exception):
    """No byte of the file lies in the range: the answer is 416."""


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """Return the range that ``header`` asks of a file with ``size`` bytes, or None for all of it.

    What is not one well-formed range of bytes is ignored, as the standard allows. Raises
    UnsatisfiableRangeError when the range begins behind the end.
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
