from __future__ import annotations

import stat

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.store.receipt import (
    Entry,
    Receipt,
    Seen,
    Shape,
    checksum_lines,
    decode,
    difference,
    encode,
    missing_paths,
    single_file,
)
from hypothesis import given
from hypothesis import strategies as st

FILE = Entry("d/f", stat.S_IFREG | 0o644, 5, 1700000000, "ab" * 32)
ENTRIES = (Entry("d", stat.S_IFDIR | 0o755), FILE, Entry("l", stat.S_IFLNK | 0o777, target="d/f"))
RECEIPT = Receipt("cd" * 32, 99, Shape("zip", 1, ("d/f",)), ENTRIES)
SEEN = {
    "d": Seen(stat.S_IFDIR | 0o755, 4096, 123, 0),
    "d/f": Seen(stat.S_IFREG | 0o644, 5, 1700000000 * 10**9, 0),
    "l": Seen(stat.S_IFLNK | 0o777, 3, 123, 0, "d/f"),
}


def test_receipt_survives_its_file() -> None:
    assert decode(encode(RECEIPT)) == RECEIPT


PATHS = st.text(st.characters(exclude_characters="\0", exclude_categories=()), min_size=1)


@given(st.lists(st.tuples(PATHS, st.integers(0, 2**50), st.integers(0, 2**33)), unique_by=lambda t: t[0]))
def test_receipt_of_any_content_survives_its_file(files: list[tuple[str, int, int]]) -> None:
    entries = tuple(sorted(Entry(path, 0o100644, size, mtime, "ab" * 32) for path, size, mtime in files))
    receipt = RECEIPT._replace(entries=entries)
    assert decode(encode(receipt)) == receipt


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "{", '{"schema": 2}', encode(RECEIPT)[:-20]])
def test_receipt_that_is_damaged_or_newer_is_not_trusted(text: str) -> None:
    assert decode(text) is None


def test_difference_is_empty_for_an_untouched_tree() -> None:
    assert difference(RECEIPT, SEEN, 0) == ""


@pytest.mark.parametrize(
    ("path", "change", "words"),
    [
        ("d/f", {"size": 4}, "d/f has 4 bytes instead of 5"),
        ("d/f", {"mtime_ns": 1700000000 * 10**9 + 1}, "d/f was modified"),
        ("d/f", {"mode": stat.S_IFREG | 0o666}, "d/f has mode 100666 instead of 100644"),
        ("d/f", {"mode": stat.S_IFLNK | 0o777}, "d/f has mode 120777"),
        ("d/f", {"uid": 1000}, "d/f belongs to user id 1000"),
        ("d", {"mode": stat.S_IFDIR | 0o777}, "d has mode 040777"),
        ("l", {"target": "/etc/passwd"}, "l points to /etc/passwd"),
    ],
)
def test_difference_names_a_changed_entry(path: str, change: dict[str, object], words: str) -> None:
    assert words in difference(RECEIPT, {**SEEN, path: SEEN[path]._replace(**change)}, 0)  # type: ignore[arg-type]


def test_difference_names_a_missing_and_an_added_entry() -> None:
    assert difference(RECEIPT, {k: v for k, v in SEEN.items() if k != "l"}, 0) == "l is missing"
    assert difference(RECEIPT, {**SEEN, "evil": SEEN["d"]}, 0) == "evil was added after it was published"


def test_receipt_answers_small_questions() -> None:
    assert missing_paths(RECEIPT, ["d", "d/f", "x"]) == ["x"]
    assert single_file(RECEIPT) == ""
    assert single_file(RECEIPT._replace(shape=Shape("file"))) == "d/f"
    assert checksum_lines(RECEIPT) == [f"{'ab' * 32}  trees/{'cd' * 32}/d/f"]
    assert (RECEIPT.unpacked_bytes, RECEIPT.file_count) == (5, 2)
