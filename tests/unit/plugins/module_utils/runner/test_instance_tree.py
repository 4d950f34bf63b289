"""The runner's files in an instance: linked from the store, whole, and out of a job's reach."""

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


def test_files_are_links_and_folders_are_not(tmp_path: Path, layout: Layout) -> None:
    tree = make_tree(tmp_path / DIGEST, "1")
    link_tree(str(tree), layout)
    assert names(layout) == [".coldvox", "bin", "config.sh", "externals", "run.sh"]
    assert not os.path.islink(layout.file("bin"))
    assert os.path.samefile(layout.file("bin/Runner.Listener"), tree / "bin/Runner.Listener")
    assert os.readlink(layout.file("bin/lib.so")) == "lib.so.1"
    assert os.listdir(layout.records) == []
    assert is_linked(layout, str(tree))


def test_a_new_version_replaces_everything_and_spares_the_registration(
    tmp_path: Path, layout: Layout
) -> None:
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


def test_traces_of_a_self_update_go_away(tmp_path: Path, layout: Layout) -> None:
    tree = make_tree(tmp_path / DIGEST, "1")
    link_tree(str(tree), layout)
    os.rename(layout.file("bin"), layout.file("bin.2.999.0"))
    os.symlink("bin.2.999.0", layout.file("bin"))
    assert not is_linked(layout, str(tree))
    link_tree(str(tree), layout)
    assert names(layout) == [".coldvox", "bin", "config.sh", "externals", "run.sh"]
    assert is_linked(layout, str(tree))


def test_what_a_job_planted_is_replaced_and_not_followed(tmp_path: Path, layout: Layout) -> None:
    tree, outside = make_tree(tmp_path / DIGEST, "1"), tmp_path / "outside"
    outside.mkdir()
    os.symlink(outside, layout.file("externals"))
    os.makedirs(layout.file("run.sh/deep"))
    link_tree(str(tree), layout)
    assert list(outside.iterdir()) == []
    assert is_linked(layout, str(tree))


def test_an_interrupted_attempt_is_forgotten(tmp_path: Path, layout: Layout) -> None:
    tree = make_tree(tmp_path / DIGEST, "1")
    os.makedirs(layout.record("incoming/half"))
    os.makedirs(layout.record("outgoing/bin"))
    link_tree(str(tree), layout)
    assert os.listdir(layout.records) == []
    assert is_linked(layout, str(tree))


def test_a_file_that_differs_is_noticed(tmp_path: Path, layout: Layout) -> None:
    tree = make_tree(tmp_path / DIGEST, "1")
    link_tree(str(tree), layout)
    os.unlink(layout.file("run.sh"))
    assert not is_linked(layout, str(tree))
    Path(layout.file("run.sh")).write_text("1")
    assert not is_linked(layout, str(tree)), "same file system, so it must be the same file"


def test_files_are_copied_where_links_cannot_be(
    tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(tmp_path / DIGEST, "1")

    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    link_tree(str(tree), layout)
    assert Path(layout.file("run.sh")).read_text() == "1"
    assert os.access(layout.file("run.sh"), os.X_OK)


def test_something_else_than_a_runner_is_refused(tmp_path: Path, layout: Layout) -> None:
    shutil.rmtree(make_tree(tmp_path / DIGEST, "1") / "bin")
    with pytest.raises(CiError, match=r"bin/Runner\.Listener"):
        link_tree(str(tmp_path / DIGEST), layout)
    assert names(layout) == [".coldvox"]


def test_a_tree_is_known_by_its_digest_or_its_contents(tmp_path: Path) -> None:
    assert tree_identity(f"/store/trees/{DIGEST}/") == DIGEST
    one = make_tree(tmp_path / "one", "1")
    before = tree_identity(str(one))
    assert tree_identity(str(one)) == before
    (one / "run.sh").write_text("other")
    assert tree_identity(str(one)) != before


@pytest.mark.parametrize(
    ("age", "limit", "told"),
    [(31.0, 30, True), (30.0, 30, False), (300.0, 0, False), (None, 30, False), (2.0, 1, True)],
)
def test_age_is_told_above_the_limit(age: Optional[float], limit: int, told: bool) -> None:
    assert bool(age_warning(age, limit)) is told


def test_age_is_that_of_the_program(tmp_path: Path) -> None:
    assert age_days(str(tmp_path), 0.0) is None
    program = tmp_path / "bin" / "Runner.Listener"
    program.parent.mkdir()
    program.touch()
    os.utime(program, (86400, 86400))
    assert age_days(str(tmp_path), 86400 * 32.0) == 31
    assert age_days(str(tmp_path), 0.0) == 0
