from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.mirror.ranges import ByteRange, UnsatisfiableRangeError, parse_range

SIZE = 1000


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-", ByteRange(0, 1000)),
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=10-19", ByteRange(10, 10)),
        ("bytes=999-", ByteRange(999, 1)),
        ("bytes=990-5000", ByteRange(990, 10)),
        ("bytes=-10", ByteRange(990, 10)),
        ("bytes=-5000", ByteRange(0, 1000)),
        ("Bytes = 1-2", ByteRange(1, 2)),
        # Not one well-formed range of bytes: the whole file is the answer.
        (None, None),
        ("", None),
        ("bytes=-", None),
        ("bytes=5-2", None),
        ("bytes=0-1,5-6", None),
        ("items=0-5", None),
        ("bytes=a-b", None),
    ],
)
def test_a_header_asks_for_a_range(header: str | None, expected: ByteRange | None) -> None:
    assert parse_range(header, SIZE) == expected


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-1001", "bytes=-0"])
def test_a_range_without_a_byte_of_the_file_cannot_be_answered(header: str) -> None:
    with pytest.raises(UnsatisfiableRangeError):
        parse_range(header, SIZE)


def test_an_empty_file_has_no_ranges() -> None:
    with pytest.raises(UnsatisfiableRangeError):
        parse_range("bytes=0-", 0)


@given(size=st.integers(1, 300), start=st.integers(0, 299), end=st.integers(0, 400))
def test_a_range_is_what_a_slice_would_give(size: int, start: int, end: int) -> None:
    data = bytes(index % 251 for index in range(size))
    expected = data[start : end + 1]
    if end < start:
        assert parse_range(f"bytes={start}-{end}", size) is None
    elif not expected:
        with pytest.raises(UnsatisfiableRangeError):
            parse_range(f"bytes={start}-{end}", size)
    else:
        found = parse_range(f"bytes={start}-{end}", size)
        assert found
        assert data[found.start : found.start + found.length] == expected
