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
        # Anything but a single well-formed range of bytes: the answer is the whole file.
        (None, None),
        ("", None),
        ("bytes=-", None),
        ("bytes=5-2", None),
        ("bytes=0-1,5-6", None),
        ("items=0-5", None),
        ("bytes=a-b", None),
    ],
)
def test_parse_range_of_a_header(header: str | None, expected: ByteRange | None) -> None:
    assert parse_range(header, SIZE) == expected


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-1001", "bytes=-0"])
def test_parse_range_rejects_a_range_outside_the_file(header: str) -> None:
    with pytest.raises(UnsatisfiableRangeError):
        parse_range(header, SIZE)


def test_parse_range_rejects_every_range_of_an_empty_file() -> None:
    with pytest.raises(UnsatisfiableRangeError):
        parse_range("bytes=0-", 0)


@given(size=st.integers(1, 300), start=st.integers(0, 299), end=st.integers(0, 400))
def test_parse_range_gives_the_same_bytes_as_a_slice(size: int, start: int, end: int) -> None:
    data = bytes(index % 251 for index in range(size))
    expected = data[start : end + 1]
    if end < start:
        assert parse_range(f"bytes={start}-{end}", size) is None
    elif not expected:
        with pytest.raises(UnsatisfiableRangeError):
            parse_range(f"bytes={start}-{end}", size)
    else:
        parsed = parse_range(f"bytes={start}-{end}", size)
        assert parsed
        assert data[parsed.start : parsed.start + parsed.length] == expected
