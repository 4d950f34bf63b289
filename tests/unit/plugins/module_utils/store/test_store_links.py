from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.store import links


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that only we can write to; pytest's own are made so."""
    directory = tmp_path / "place"
    directory.mkdir(mode=0o755)
    return directory


def test_a_link_is_made_with_its_parents_and_swapped(place: Path) -> None:
    link = str(place / "a/b/link")
    assert links.read(link) is None
    assert links.swap(link, "/one")
    assert not links.swap(link, "/one")
    assert links.swap(link, "/two")
    assert links.read(link) == "/two"
    assert os.stat(place / "a/b").st_mode & 0o777 == 0o755
    assert os.listdir(place / "a/b") == ["link"]


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_something_else_in_the_way_is_an_error(place: Path, kind: str) -> None:
    path = place / "link"
    path.mkdir() if kind == "directory" else path.write_text("mine")
    for action in (lambda: links.swap(str(path), "/x"), lambda: links.read(str(path))):
        with pytest.raises(CiError, match=r"in the way; .*move it away"):
            action()
    assert path.exists()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
def test_a_planted_link_in_the_path_is_not_followed(place: Path, mode: int) -> None:
    victim = place / "victim"
    victim.mkdir()
    shared = place / "shared"
    shared.mkdir()
    shared.chmod(mode)
    (shared / "models").symlink_to(victim)
    with pytest.raises(CiError, match="others could have planted"):
        links.swap(str(shared / "models" / "link"), "/x")
    assert os.listdir(victim) == []


def test_a_planted_link_at_the_end_is_replaced_and_not_followed(place: Path) -> None:
    victim = place / "victim"
    victim.mkdir()
    place.chmod(0o1777)
    (place / "link").symlink_to(victim)
    links.swap(str(place / "link"), "/x")
    assert (place / "link").readlink() == Path("/x")
    assert os.listdir(victim) == []


def test_a_link_of_the_administrator_is_followed(place: Path) -> None:
    (place / "real").mkdir()
    (place / "alias").symlink_to("real")
    links.swap(str(place / "alias" / "link"), "/x")
    assert (place / "real" / "link").readlink() == Path("/x")


def test_only_links_into_the_given_directory_are_removed(place: Path) -> None:
    link = str(place / "link")
    assert not links.remove(link, "/store/trees")
    links.swap(link, "/store/trees-of-others/1")
    assert not links.remove(link, "/store/trees")
    links.swap(link, "/store/trees/1")
    assert links.remove(link, "/store/trees")
    assert not os.path.lexists(link)
