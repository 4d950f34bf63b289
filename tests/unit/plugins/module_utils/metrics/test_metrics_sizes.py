"""Sizes from a real store's records; walks are compared with du."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import sizes
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.sizes import (
    InBackground,
    StoreBooks,
    tree_bytes,
)
from ansible_collections.coldvox.ci.plugins.module_utils.store import trees

from tests._support.fault_server import install, model_zip, wanted

MODEL = model_zip()


def put(store: Path, name: str, content: bytes, kind: str) -> None:
    source = store.parent / f"{name}.src"
    source.write_bytes(content)
    form = {"strip_components": 1, "format": "zip"} if content == MODEL else {"format": "file"}
    install(store, wanted(name, f"file://{source}", content, kind=kind, **form))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a model under two names and a library."""
    root = tmp_path / "store"
    put(root, "m", MODEL, "model")
    put(root, "again", MODEL, "model")
    put(root, "lib", b"library", "library")
    return root


def test_store_books_say_what_the_trees_hold(store: Path) -> None:
    counted = StoreBooks().sizes(str(store))
    assert counted.store == trees.bytes_below(str(store / "trees"))
    assert counted.models == counted.store - len(b"library")


def test_store_books_count_a_tree_without_a_name(store: Path) -> None:
    before = StoreBooks().sizes(str(store))
    (store / "refs/lib.json").unlink()
    assert StoreBooks().sizes(str(store)) == before


def test_store_books_see_a_new_record(store: Path) -> None:
    books = StoreBooks()
    before = books.sizes(str(store))
    put(store, "more", b"more", "other")
    assert books.sizes(str(store)).store == before.store + 4


def test_store_books_read_again_only_after_a_change(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    books = StoreBooks()
    before = books.sizes(str(store))
    monkeypatch.setattr(sizes, "_added_up", lambda _store: pytest.fail("read again"))
    assert books.sizes(str(store)) == before


def test_store_books_of_an_empty_directory_are_empty_and_a_missing_store_is_an_error(tmp_path: Path) -> None:
    assert StoreBooks().sizes(str(tmp_path)) == (0, 0)
    with pytest.raises(FileNotFoundError):
        StoreBooks().sizes(str(tmp_path / "missing"))


def du(*paths: Path) -> int:
    shown = subprocess.run(["du", "-scB1", "-D", *paths], capture_output=True, text=True, check=True)
    return int(shown.stdout.splitlines()[-1].split()[0])


def test_tree_bytes_agree_with_du(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "deep" / "er" / "big").write_bytes(os.urandom(300_000))
    (tree / "small").write_text("x", encoding="utf-8")
    os.link(tree / "small", tree / "second-name")
    (tree / "link-out").symlink_to("/usr")
    with (tree / "sparse").open("wb") as file:
        file.truncate(50_000_000)
    entrance = tmp_path / "entrance"
    entrance.symlink_to(tree)
    assert tree_bytes([str(tree)]) == du(tree)
    assert tree_bytes([str(entrance)]) == du(tree)
    assert tree_bytes([str(tree), str(tree / "deep")]) == du(tree)


def test_tree_bytes_of_a_missing_tree_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tree_bytes([str(tmp_path / "missing")])


class Walk:
    """A walk that ends when the test lets it end."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.began = 0

    def __call__(self, _roots: Sequence[str]) -> int:
        self.began += 1
        assert self.go.wait(60)
        return 42


def known(background: InBackground) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(LookupError):
            return background([])
        time.sleep(0.01)
    raise AssertionError("the walk has no result")


def test_in_background_does_not_wait_and_walks_once() -> None:
    walk = Walk()
    background = InBackground(walk)
    for _ in range(3):
        with pytest.raises(LookupError):
            background([])
    walk.go.set()
    assert known(background) == 42
    assert background([]) == 42
    assert walk.began == 1


def test_in_background_walks_again_after_its_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(sizes, "_REST", 0)
    walk = Walk()
    walk.go.set()
    background = InBackground(walk)
    known(background)
    deadline = time.monotonic() + 60
    while walk.began < 3:
        background([])
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_in_background_has_no_size_of_an_unreadable_directory() -> None:
    def refused(_roots: Sequence[str]) -> int:
        raise PermissionError(13, "Permission denied")

    background = InBackground(refused)
    for _ in range(3):
        with pytest.raises(LookupError):
            background([])
        time.sleep(0.01)
