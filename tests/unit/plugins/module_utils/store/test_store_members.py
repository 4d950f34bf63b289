from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.store.members import (
    DIRECTORY,
    FILE,
    HARDLINK,
    SYMLINK,
    Limits,
    Outline,
    Placing,
    member_path,
    resolve,
)
from hypothesis import given, settings
from hypothesis import strategies as st

LIMITS = Limits(max_unpacked_bytes=10_000, max_ratio=3, max_entries=5)


@pytest.mark.parametrize(
    ("name", "strip", "expected"),
    [
        ("a/b", 0, "a/b"),
        ("./a//b/./c", 0, "a/b/c"),
        ("./top/a", 1, "a"),
        ("top/", 1, None),
        ("./", 0, None),
        ("a b/ü", 0, "a b/ü"),
        ("...", 0, "..."),
        (".config/x", 1, "x"),
        (".gitattributes", 0, ".gitattributes"),
        (".gitattributes", 1, None),
        ("__MACOSX/top/._a", 1, None),
        ("__MACOSX/a", 0, None),
        ("a/__MACOSX", 0, "a/__MACOSX"),
        ("top/._a", 1, None),
        ("top/.DS_Store", 0, None),
    ],
)
def test_placing_makes_a_harmless_name_plain(name: str, strip: int, expected: str) -> None:
    assert Placing(strip).place(name, name.endswith("/")) == expected


def test_placing_never_merges_two_top_directories() -> None:
    placing = Placing(2)
    assert [placing.place(name, True) for name in ("a/", "a/b/", "a/b/c/")] == [None, None, "c"]
    assert placing.place("a/b/d", False) == "d"
    with pytest.raises(CiError, match="two top directories, 'a/b' and 'a/x'"):
        placing.place("a/x/d", False)
    with pytest.raises(CiError, match="two top directories, 'a/b' and 'z'"):
        placing.place("z", True)
    with pytest.raises(CiError, match="'a/README' is not below 2 directories"):
        placing.place("a/README", False)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../x",
        "a/../../b",
        "a/..",
        "C:\\x",
        "c:x",
        "a\\b",
        "a\0b",
        "a\nb",
        "x" * 256,
        "d/" * 2000,
    ],
)
def test_member_path_refuses_a_name_that_could_do_harm(name: str) -> None:
    with pytest.raises(CiError):
        member_path(name)


@given(st.text())
def test_member_path_stays_inside(name: str) -> None:
    try:
        path = member_path(name)
    except (CiError, UnicodeEncodeError):
        return
    if path is not None:
        assert os.path.normpath(path) == path
        assert not path.startswith(("/", ".."))
        assert member_path(path) == path


def outline() -> Outline:
    return Outline(LIMITS, archive_bytes=100)


def test_outline_refuses_an_entry_below_a_link_or_a_file() -> None:
    for kind in (SYMLINK, FILE):
        plan = outline()
        plan.add("a", kind, target="b")
        with pytest.raises(CiError, match=f"'a/b' is below 'a', which is a {kind}"):
            plan.add("a/b", FILE)


def test_outline_refuses_a_link_in_place_of_a_directory_with_content() -> None:
    plan = outline()
    plan.add("a/b", FILE)
    with pytest.raises(CiError, match="'a' appears twice"):
        plan.add("a", SYMLINK, target="..")


def test_outline_takes_a_directory_twice_and_a_file_once() -> None:
    plan = outline()
    plan.add("a/b", FILE)
    plan.add("a", DIRECTORY)
    plan.add("a", DIRECTORY)
    with pytest.raises(CiError, match="twice"):
        plan.add("a/b", FILE)


def test_outline_refuses_a_hard_link_without_a_file_before_it() -> None:
    plan = outline()
    plan.add("a", FILE)
    plan.add("b", HARDLINK, target="a")
    with pytest.raises(CiError, match="'c' points to 'd'"):
        plan.add("c", HARDLINK, target="d")


def test_outline_enforces_limits() -> None:
    with pytest.raises(CiError, match="max_unpacked_bytes=10000"):
        outline().add("a", FILE, 10_001)
    plan = outline()
    for number in range(5):
        plan.add(f"f{number}", FILE)
    with pytest.raises(CiError, match="max_entries=5"):
        plan.add("f5", FILE)
    big = Outline(Limits(2**40, 3, 5), archive_bytes=2**26)
    big.add("a", FILE, 3 * 2**26)
    with pytest.raises(CiError, match="max_ratio=3"):
        big.add("b", FILE, 1)


@pytest.mark.parametrize(
    ("path", "target"),
    [("l", "/etc"), ("l", ".."), ("a/l", "../.."), ("a/l", "x/../../.."), ("dot/l", "../..")],
)
def test_resolve_refuses_a_link_out_of_the_tree(path: str, target: str) -> None:
    with pytest.raises(CiError):
        resolve(path, target, {path: target})


def test_resolve_counts_a_parent_step_from_the_end_of_a_link() -> None:
    # By its letters d/.. is the top; by the kernel's rules it is above it.
    with pytest.raises(CiError, match="out of the archive"):
        resolve("e", "d/..", {"d": ".", "e": "d/.."})


def test_resolve_refuses_links_in_a_circle() -> None:
    with pytest.raises(CiError, match="never ends"):
        resolve("a", "b", {"a": "b", "b": "a"})


NAMES = st.sampled_from(["a", "b", "c", "a/a", "a/b", "b/a", "b/b/c"])
TARGETS = st.lists(st.sampled_from(["a", "b", "c", "..", "."]), min_size=1, max_size=5).map("/".join)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES, TARGETS, min_size=1, max_size=4))
def test_outline_accepts_no_link_that_leads_the_kernel_out(links: dict[str, str]) -> None:
    plan = Outline(Limits(1, 1, 100), 1)
    try:
        for path, target in links.items():
            plan.add(path, SYMLINK, target=target)
        plan.finish()
    except CiError:
        return
    with tempfile.TemporaryDirectory() as directory:
        top = os.path.realpath(directory)
        for path, target in links.items():
            place = Path(top, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)
        for path in links:
            real = os.path.realpath(os.path.join(top, path))
            assert real == top or real.startswith(top + "/")
