"""Sizes from a real store's books, and walks that nobody waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import sizes
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.sizes import InBackground, StoreBooks
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


def test_the_books_say_what_the_trees_hold(store: Path) -> None:
    found = StoreBooks().sizes(str(store))
    assert found.store == trees.bytes_below(str(store / "trees"))
    assert found.models == found.store - len(b"library")


def test_a_tree_that_no_name_keeps_counts_as_well(store: Path) -> None:
    before = StoreBooks().sizes(str(store))
    (store / "refs/lib.json").unlink()
    assert StoreBooks().sizes(str(store)) == before


def test_what_comes_and_goes_is_noticed(store: Path) -> None:
    books = StoreBooks()
    before = books.sizes(str(store))
    put(store, "more", b"more", "other")
    assert books.sizes(str(store)).store == before.store + 4


def test_nothing_is_read_again_while_nothing_changes(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    books = StoreBooks()
    before = books.sizes(str(store))
    monkeypatch.setattr(sizes, "_added_up", lambda _store: pytest.fail("read again"))
    assert books.sizes(str(store)) == before


def test_an_empty_directory_is_an_empty_store_and_a_missing_one_is_none(tmp_path: Path) -> None:
    assert StoreBooks().sizes(str(tmp_path)) == (0, 0)
    with pytest.raises(FileNotFoundError):
        StoreBooks().sizes(str(tmp_path / "missing"))


class Walk:
    """A walk that ends when the test lets it."""

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


def test_nobody_waits_for_a_walk_and_it_is_made_once() -> None:
    walk = Walk()
    background = InBackground(walk)
    for _ in range(3):
        with pytest.raises(LookupError):
            background([])
    walk.go.set()
    assert known(background) == 42
    assert background([]) == 42
    assert walk.began == 1


def test_after_its_rest_it_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_directory_that_cannot_be_walked_is_not_known() -> None:
    def refused(_roots: Sequence[str]) -> int:
        raise PermissionError(13, "Permission denied")

    background = InBackground(refused)
    for _ in range(3):
        with pytest.raises(LookupError):
            background([])
        time.sleep(0.01)
