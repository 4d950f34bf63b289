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


def test_links_swap_makes_parents_and_replaces(place: Path) -> None:
    link = str(place / "a/b/link")
    assert links.read(link) is None
    assert links.swap(link, "/one")
    assert not links.swap(link, "/one")
    assert links.swap(link, "/two")
    assert links.read(link) == "/two"
    assert os.stat(place / "a/b").st_mode & 0o777 == 0o755
    assert os.listdir(place / "a/b") == ["link"]


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_links_refuse_something_else_in_the_way(place: Path, kind: str) -> None:
    path = place / "link"
    path.mkdir() if kind == "directory" else path.write_text("mine")
    for action in (lambda: links.swap(str(path), "/x"), lambda: links.read(str(path))):
        with pytest.raises(CiError, match=r"in the way; .*move it away"):
            action()
    assert path.exists()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
def test_links_do_not_follow_a_planted_link_in_the_path(place: Path, mode: int) -> None:
    victim = place / "victim"
    victim.mkdir()
    shared = place / "shared"
    shared.mkdir()
    shared.chmod(mode)
    (shared / "models").symlink_to(victim)
    with pytest.raises(CiError, match="others could have planted"):
        links.swap(str(shared / "models" / "link"), "/x")
    assert os.listdir(victim) == []


def test_links_swap_replaces_a_planted_link_at_the_end(place: Path) -> None:
    victim = place / "victim"
    victim.mkdir()
    place.chmod(0o1777)
    (place / "link").symlink_to(victim)
    links.swap(str(place / "link"), "/x")
    assert (place / "link").readlink() == Path("/x")
    assert os.listdir(victim) == []


def test_links_follow_a_link_of_the_administrator(place: Path) -> None:
    (place / "real").mkdir()
    (place / "alias").symlink_to("real")
    links.swap(str(place / "alias" / "link"), "/x")
    assert (place / "real" / "link").readlink() == Path("/x")


def test_links_remove_only_those_into_the_given_directory(place: Path) -> None:
    link = str(place / "link")
    assert not links.remove(link, "/store/trees")
    links.swap(link, "/store/trees-of-others/1")
    assert not links.remove(link, "/store/trees")
    links.swap(link, "/store/trees/1")
    assert links.remove(link, "/store/trees")
    assert not os.path.lexists(link)
