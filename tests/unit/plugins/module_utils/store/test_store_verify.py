"""Verifying the whole store, and what becomes of the damaged."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock
from ansible_collections.coldvox.ci.plugins.module_utils.store import trees
from ansible_collections.coldvox.ci.plugins.module_utils.store.artifact import Artifact
from ansible_collections.coldvox.ci.plugins.module_utils.store.index import Index
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import Layout
from ansible_collections.coldvox.ci.plugins.module_utils.store.trash import discard_tree
from ansible_collections.coldvox.ci.plugins.module_utils.store.verify import Verified, verify

from tests._support.fault_server import FaultServer, install, settings, wanted
from tests._support.store_models import consistent, flip, models, present, snapshot


def run(root: Path, **how: Any) -> Verified:
    return verify(str(root), settings=settings(), **how)


def outcomes(done: Verified) -> list[tuple[tuple[str, ...], str]]:
    return [(item.names, item.outcome) for item in done.corrupt]


def tree(root: Path, artifact: Artifact) -> Path:
    return root / "trees" / artifact.sha256


def test_verify_leaves_a_sound_store_unchanged(server: FaultServer, root: Path) -> None:
    models(server, root, 2)
    before = snapshot(root)
    for how in ({}, {"full": True}, {"full": True, "repair": True}):
        done = run(root, **how)
        assert (done.changed, done.corrupt, done.warnings) == (False, (), ())
        assert {item.names for item in done.sound} == {("m0",), ("m1",)}
    assert done.total_bytes == sum(item.bytes for item in done.sound)
    assert snapshot(root) == before


def test_verify_reports_every_tree_before_it_reads_it(server: FaultServer, root: Path) -> None:
    models(server, root, 2)
    reported: list[tuple[int, int]] = []
    run(root, report=lambda _sha256, number, count: reported.append((number, count)))
    assert reported == [(1, 2), (2, 2)]


def test_verify_names_damage_and_changes_nothing_without_repair(server: FaultServer, root: Path) -> None:
    made = models(server, root, 2)
    flip(tree(root, made[0]) / "am" / "final.mdl")
    before = snapshot(root)
    assert run(root).corrupt == ()
    done = run(root, full=True)
    assert (done.changed, outcomes(done)) == (False, [(("m0",), "found")])
    assert done.corrupt[0].problem == "am/final.mdl has other bytes than were published"
    assert f"m0 ({made[0].sha256[:12]}) is damaged" in done.warnings[0]
    assert [item.names for item in done.sound] == [("m1",)]
    assert snapshot(root) == before


@pytest.mark.parametrize("full", [True, False])
def test_verify_repair_fetches_again_under_all_names(
    server: FaultServer, root: Path, tmp_path: Path, full: bool
) -> None:
    made = models(server, root, 2)
    install(root, made[0]._replace(name="same", link=str(tmp_path / "l"), pinned=True))
    flip(tree(root, made[0]) / "am" / "final.mdl")
    if not full:
        (tree(root, made[0]) / "evil").write_text("x")
    refs = {name: (root / "refs" / f"{name}.json").read_text() for name in ("m0", "same")}
    predicted = run(root, full=full, repair=True, predict=True)
    assert outcomes(predicted) == [(("m0", "same"), "repaired")]
    assert server.count("/m0.zip") == 1
    done = run(root, full=full, repair=True)
    assert (done.changed, outcomes(done), done.warnings) == (True, [(("m0", "same"), "repaired")], ())
    assert done.corrupt[0].bytes_downloaded > 0
    assert server.count("/m0.zip") == 2
    assert {name: (root / "refs" / f"{name}.json").read_text() for name in refs} == refs
    assert (tmp_path / "l" / "README").exists()
    assert run(root, full=True).corrupt == ()
    assert consistent(root)


def test_verify_takes_a_missing_directory_for_damage(server: FaultServer, root: Path) -> None:
    (artifact,) = models(server, root, 1)
    shutil.rmtree(tree(root, artifact))
    assert run(root).corrupt[0].problem == "its directory is missing"
    assert outcomes(run(root, repair=True)) == [(("m0",), "repaired")]
    assert consistent(root)


def make_unfetchable(root: Path, server: FaultServer, how: str, artifact: Artifact) -> None:
    path = root / "refs" / "m0.json"
    ref = json.loads(path.read_text())
    if how == "server gone":
        server.pages.clear()
    elif how == "other content":
        server.serve("/m0.zip", b"something else")
    elif how == "secret address":
        path.write_text(json.dumps({**ref, "source_url": ref["source_url"] + "?…"}))
    elif how == "receipt unreadable":
        (root / "receipts" / f"{artifact.sha256}.json").write_text("{")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("server gone", "the server answered 404"),
        ("other content", "expected sha256"),
        ("secret address", "is not known exactly"),
        ("receipt unreadable", "it is not known how it was unpacked"),
    ],
)
def test_verify_removes_and_names_what_cannot_be_fetched(
    server: FaultServer, root: Path, tmp_path: Path, how: str, words: str
) -> None:
    artifact, other = models(server, root, 2)
    install(root, artifact._replace(link=str(tmp_path / "l")))
    (tree(root, artifact) / "evil").write_text("x")
    make_unfetchable(root, server, how, artifact)
    done = run(root, repair=True)
    assert (done.changed, outcomes(done)) == (True, [(("m0",), "removed")])
    assert words in done.corrupt[0].detail
    assert words in done.warnings[0]
    assert done.freed_bytes > 200_000
    assert present(root) == set(os.listdir(root / "models")) == {"m1"}
    assert os.listdir(root / "trees") == [other.sha256]
    assert not os.path.lexists(tmp_path / "l")
    assert consistent(root)
    assert run(root, full=True).corrupt == ()


def test_verify_removes_only_the_names_of_a_damaged_tree_that_is_read(
    server: FaultServer, root: Path
) -> None:
    (artifact,) = models(server, root, 1)
    (tree(root, artifact) / "evil").write_text("x")
    make_unfetchable(root, server, "secret address", artifact)
    with Flock(Layout(str(root)).mutate_lock(artifact.sha256), shared=True):
        done = run(root, repair=True)
        assert outcomes(done) == [(("m0",), "kept")]
        assert "a job is reading it" in done.warnings[0]
        assert tree(root, artifact).exists()
    assert present(root) == set()
    assert outcomes(run(root, repair=True)) == [((), "removed")]
    assert os.listdir(root / "trees") == []


def test_verify_keeps_a_tree_with_a_receipt_of_a_newer_version(server: FaultServer, root: Path) -> None:
    (artifact,) = models(server, root, 1)
    path = root / "receipts" / f"{artifact.sha256}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 2}))
    before = snapshot(root)
    done = run(root, full=True, repair=True)
    assert (done.changed, outcomes(done)) == (False, [(("m0",), "kept")])
    assert "published by a newer version" in done.warnings[0]
    assert snapshot(root) == before


def test_verify_repair_keeps_the_name_of_a_single_file(server: FaultServer, root: Path) -> None:
    data = b"#!/bin/sh\n"
    url = server.serve("/get/tool", data)
    artifact = wanted("thing", url, data, executable=["tool"])
    install(root, artifact)
    (tree(root, artifact) / "tool").chmod(0o666)
    assert outcomes(run(root, repair=True)) == [(("thing",), "repaired")]
    assert (tree(root, artifact) / "tool").stat().st_mode & 0o777 == 0o755
    ref = root / "refs" / "thing.json"
    server.serve("/get/other", data)
    ref.write_text(ref.read_text().replace("/get/tool", "/get/other"))
    (tree(root, artifact) / "tool").chmod(0o666)
    done = run(root, repair=True)
    assert done.corrupt[0].detail == "its url does not give the name of its file"


def test_verify_takes_a_missing_store_for_sound(root: Path) -> None:
    assert run(root, full=True, repair=True) == Verified(False, (), (), 0, 0, ())
    assert not root.exists()


def test_verify_takes_no_tree_that_was_removed_meanwhile_for_damage(
    server: FaultServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models(server, root, 1)
    list_digests = trees.digests

    def then_take(layout: Layout) -> list[str]:
        listed = list_digests(layout)
        for sha256 in listed:
            discard_tree(layout, Index(layout), sha256)
        (root / "refs" / "m0.json").unlink(missing_ok=True)
        return listed

    monkeypatch.setattr(trees, "digests", then_take)
    done = run(root)
    assert (done.corrupt, done.sound) == ((), ())
