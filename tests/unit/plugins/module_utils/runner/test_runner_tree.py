"""The runner files of an instance: linked, complete, read-only to jobs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Optional

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.runner.layout import Layout
from ansible_collections.coldvox.ci.plugins.module_utils.runner.tree import (
    age_days,
    age_warning,
    is_linked,
    link_tree,
    tree_identity,
)

DIGEST = "ab" * 32


def make_tree(place: Path, version: str) -> Path:
    for name in ("run.sh", "config.sh", "bin/Runner.Listener", "externals/node20/bin/node"):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(version)
        path.chmod(0o755)
    (place / "bin" / "lib.so").symlink_to("lib.so.1")
    return place


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(str(tmp_path / "instance"))
    os.makedirs(layout.records)
    return layout


def names(layout: Layout) -> list[str]:
    return sorted(os.listdir(layout.root))


def test_link_tree_links_files_and_makes_directories(tmp_path: Path, layout: Layout) -> None:
    tree = make_tree(tmp_path / DIGEST, "1")
    link_tree(str(tree), layout)
    assert names(layout) == [".coldvox", "bin", "config.sh", "externals", "run.sh"]
    assert not os.path.islink(layout.file("bin"))
    assert os.path.samefile(layout.file("bin/Runner.Listener"), tree / "bin/Runner.Listener")
    assert os.readlink(layout.file("bin/lib.so")) == "lib.so.1"
    assert os.listdir(layout.records) == []
    assert is_linked(layout, str(tree))


def test_link_tree_replaces_the_version_and_keeps_the_registration(tmp_path: Path, layout: Layout) -> None:
    old, new = make_tree(tmp_path / "old", "1"), make_tree(tmp_path / "new", "2")
    link_tree(str(old), layout)
    Path(layout.file(".runner")).write_text("{}")
    os.makedirs(layout.file("_work/repo"))
    link_tree(str(new), layout)
    assert not is_linked(layout, str(old))
    assert is_linked(layout, str(new))
    assert Path(layout.file(".runner")).read_text() == "{}"
    assert os.path.isdir(layout.file("_work/repo"))
    assert (old / "run.sh").read_text() == "1", "the store's tree is not touched"


def test_link_tree_removes_traces_of_a_self_update(tmp_path: Path, layout: Layout) -> None:
    tree = make_tree(tmp_path / DIGEST, "1")
    link_tree(str(tree), layout)
    os.rename(layout.file("bin"), layout.file("bin.2.999.0"))
    os.symlink("bin.2.999.0", layout.file("bin"))
    assert not is_linked(layout, str(tree))
    link_tree(str(tree), layout)
    assert names(layout) == [".coldvox", "bin", "config.sh", "externals", "run.sh"]
    assert is_linked(layout, str(tree))


def test_link_tree_replaces_planted_links_without_following(tmp_path: Path, layout: Layout) -> None:
    tree, outside = make_tree(tmp_path / DIGEST, "1"), tmp_path / "outside"
    outside.mkdir()
    os.symlink(outside, layout.file("externals"))
    os.makedirs(layout.file("run.sh/deep"))
    link_tree(str(tree), layout)
    assert list(outside.iterdir()) == []
    assert is_linked(layout, str(tree))


def test_link_tree_removes_an_interrupted_attempt(tmp_path: Path, layout: Layout) -> None:
    tree = make_tree(tmp_path / DIGEST, "1")
    os.makedirs(layout.record("incoming/half"))
    os.makedirs(layout.record("outgoing/bin"))
    link_tree(str(tree), layout)
    assert os.listdir(layout.records) == []
    assert is_linked(layout, str(tree))


def test_is_linked_notices_a_file_that_differs(tmp_path: Path, layout: Layout) -> None:
    tree = make_tree(tmp_path / DIGEST, "1")
    link_tree(str(tree), layout)
    os.unlink(layout.file("run.sh"))
    assert not is_linked(layout, str(tree))
    Path(layout.file("run.sh")).write_text("1")
    assert not is_linked(layout, str(tree)), "same file system, so it must be the same file"


def test_link_tree_copies_files_that_cannot_be_linked(
    tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(tmp_path / DIGEST, "1")

    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    link_tree(str(tree), layout)
    assert Path(layout.file("run.sh")).read_text() == "1"
    assert os.access(layout.file("run.sh"), os.X_OK)


def test_link_tree_rejects_a_tree_that_is_no_runner(tmp_path: Path, layout: Layout) -> None:
    shutil.rmtree(make_tree(tmp_path / DIGEST, "1") / "bin")
    with pytest.raises(CiError, match=r"bin/Runner\.Listener"):
        link_tree(str(tmp_path / DIGEST), layout)
    assert names(layout) == [".coldvox"]


def test_tree_identity_is_the_digest_or_follows_the_contents(tmp_path: Path) -> None:
    assert tree_identity(f"/store/trees/{DIGEST}/") == DIGEST
    tree = make_tree(tmp_path / "one", "1")
    before = tree_identity(str(tree))
    assert tree_identity(str(tree)) == before
    (tree / "run.sh").write_text("other")
    assert tree_identity(str(tree)) != before


@pytest.mark.parametrize(
    ("age", "limit", "warns"),
    [(31.0, 30, True), (30.0, 30, False), (300.0, 0, False), (None, 30, False), (2.0, 1, True)],
)
def test_age_warning_above_the_limit(age: Optional[float], limit: int, warns: bool) -> None:
    assert bool(age_warning(age, limit)) is warns


def test_age_days_is_that_of_the_program(tmp_path: Path) -> None:
    assert age_days(str(tmp_path), 0.0) is None
    program = tmp_path / "bin" / "Runner.Listener"
    program.parent.mkdir()
    program.touch()
    os.utime(program, (86400, 86400))
    assert age_days(str(tmp_path), 86400 * 32.0) == 31
    assert age_days(str(tmp_path), 0.0) == 0
