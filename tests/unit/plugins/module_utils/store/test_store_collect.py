"""Collecting on disk: removed and kept trees, and a whole view for readers."""

from __future__ import annotations

import fcntl
import json
import os
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock
from ansible_collections.coldvox.ci.plugins.module_utils.store import collect as collect_module
from ansible_collections.coldvox.ci.plugins.module_utils.store import locks, trees
from ansible_collections.coldvox.ci.plugins.module_utils.store.collect import Collected, Policy, collect
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import Layout
from ansible_collections.coldvox.ci.plugins.module_utils.store.trees import Disk

from tests._support.fault_server import FaultServer, install, model_zip, noise, tar_of, tar_special, wanted
from tests._support.store_models import consistent, models, moment, present, snapshot, used


def names(items: Any) -> list[str]:
    return [name for item in items for name in item.names or ("-",)]


def run(root: Path, *limits: float, **how: Any) -> Collected:
    return collect(str(root), Policy(*limits), **how)  # type: ignore[arg-type]


def test_collect_for_a_budget_removes_the_least_recently_used_with_names_and_links(
    server: FaultServer, root: Path
) -> None:
    made = models(server, root, 3)
    size = trees.bytes_below(str(root / "trees" / made[0].sha256))
    before = snapshot(root)
    predicted = run(root, 2 * size, dry_run=True)
    assert snapshot(root) == before
    done = run(root, 2 * size)
    assert (names(done.removed), names(done.kept)) == (["m0"], ["m1", "m2"])
    assert (done.changed, done.freed_bytes, done.total_bytes) == (True, size, 2 * size)
    assert predicted == done
    assert present(root) == set(os.listdir(root / "models")) == {"m1", "m2"}
    assert set(os.listdir(root / "trees")) == {artifact.sha256 for artifact in made[1:]}
    assert not (root / "receipts" / f"{made[0].sha256}.json").exists()
    assert consistent(root)
    again = run(root, 2 * size)
    assert (again.changed, again.removed, again.freed_bytes) == (False, (), 0)


def test_collect_leaves_a_store_that_fetches_again(server: FaultServer, root: Path) -> None:
    made = models(server, root, 1)
    run(root, 1)
    assert [result.outcome for result in install(root, *made).results] == ["fetched"]
    assert consistent(root)


def test_collect_respects_age_pins_readers_and_links(server: FaultServer, root: Path, tmp_path: Path) -> None:
    pinned, read, free, lib, model = models(server, root, 5)
    pinned = pinned._replace(pinned=True)
    lib = lib._replace(kind="library", link=str(tmp_path / "lib"))
    model = model._replace(link=str(tmp_path / "model"))
    install(root, pinned, lib, model)
    for artifact in (pinned, read, free, lib):
        used(root, artifact, days_ago=31)
    with Flock(Layout(str(root)).mutate_lock(read.sha256), shared=True):
        done = run(root, 1, 30)
        assert names(done.removed) == ["m2"]
        why = {item.names[0]: item.reason for item in done.kept}
        assert why["m0"] == "pinned as m0"
        assert why["m1"].startswith(f"in use by process {os.getpid()} (")
        assert why["m3"] == f"linked from {tmp_path / 'lib'}"
        assert why["m4"] == f"linked from {tmp_path / 'model'}"
    assert consistent(root)
    # The job that held it counted as a use today; now no process holds it.
    assert names(run(root, 0, 30).removed) == []
    used(root, model, days_ago=31)
    assert names(run(root, 0, 30).removed) == ["m4"]
    assert not os.path.lexists(tmp_path / "model")
    assert os.path.lexists(tmp_path / "lib")


def test_collect_keeps_a_tree_with_hard_links_elsewhere(
    server: FaultServer, root: Path, tmp_path: Path
) -> None:
    """The runner instances have such links.

    A removal frees nothing, and all would be linked again.
    """
    twice = tar_of({"a": noise(1000), "b": tar_special(tarfile.LNKTYPE, "a")})
    artifact = wanted("runner", server.serve("/r.tar.gz", twice), twice, kind="runner")
    install(root, artifact)
    os.link(root / "trees" / artifact.sha256 / "a", tmp_path / "instance")
    done = run(root, 1)
    assert done.removed == ()
    assert "as hard links" in done.kept[0].reason
    (tmp_path / "instance").unlink()
    assert names(run(root, 1).removed) == ["runner"]


def test_collect_leaves_a_link_that_leads_elsewhere(server: FaultServer, root: Path, tmp_path: Path) -> None:
    link = tmp_path / "l"
    first, second = models(server, root, 2)
    install(root, first._replace(link=str(link), kind="library"))
    link.unlink()
    link.symlink_to(root / "trees" / second.sha256)
    used(root, first, days_ago=1)
    assert names(run(root, 0, 0.5).removed) == ["m0"]
    assert link.readlink() == root / "trees" / second.sha256


@pytest.mark.parametrize("in_the_way", ["file", "directory"])
def test_collect_goes_on_where_a_link_was_replaced(
    server: FaultServer, root: Path, tmp_path: Path, in_the_way: str
) -> None:
    link = tmp_path / "l"
    (first,) = models(server, root, 1)
    install(root, first._replace(link=str(link)))
    link.unlink()
    link.write_text("mine") if in_the_way == "file" else link.mkdir()
    assert names(run(root, 1).removed) == ["m0"]
    assert link.exists()


def test_collect_frees_space_up_to_the_floor(
    server: FaultServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = models(server, root, 3)
    size = trees.bytes_below(str(root / "trees" / made[0].sha256))
    monkeypatch.setattr(collect_module, "measure_disk", lambda _layout: Disk(100 * size, 9 * size))
    assert names(run(root, 0, 0, 9, dry_run=True).removed) == []
    done = run(root, 0, 0, 10.5)
    assert names(done.removed) == ["m0", "m1"]
    assert {item.reason for item in done.removed} == {"less than 10.5 % of the disk is free"}


def test_collect_removes_trees_without_a_name_unless_they_are_read(server: FaultServer, root: Path) -> None:
    (old,) = models(server, root, 1)
    newer = model_zip("newer")
    with Flock(Layout(str(root)).mutate_lock(old.sha256), shared=True):
        install(root, wanted("m0", server.serve("/n.zip", newer), newer, strip_components=1, kind="model"))
        kept = run(root)
        assert (kept.changed, names(kept.kept)) == (False, ["-", "m0"])
    done = run(root)
    assert [(item.sha256, item.reason) for item in done.removed] == [(old.sha256, "no name refers to it")]
    assert present(root) == {"m0"}
    assert consistent(root)


def test_collect_leaves_what_is_being_fetched(server: FaultServer, root: Path) -> None:
    (artifact,) = models(server, root, 1)
    layout = Layout(str(root))
    for area, name in (("partial", f"{artifact.sha256}.part"), ("staging", f"{artifact.sha256}.0123")):
        (root / area / name).write_text("half")
        os.utime(root / area / name, (1, 1))
    with Flock(layout.download_lock(artifact.sha256), mode=0o600):
        done = run(root, 1)
        assert (done.changed, names(done.removed)) == (False, [])
        assert done.kept[0].reason.startswith("being fetched by process")
    done = run(root)
    assert (done.changed, done.leftover_bytes, done.freed_bytes) == (True, 8, 8)
    assert os.listdir(root / "partial") == os.listdir(root / "staging") == []


def test_collect_removes_leftovers_of_killed_processes(server: FaultServer, root: Path) -> None:
    (artifact,) = models(server, root, 1)
    gone = "ab" * 32
    old = ["partial/cd.part", "partial/cd.part.json", "refs/.m0.json.0123456789ab", ".x.0123456789ab"]
    old.append(f"receipts/.{gone}.json.0123456789ab")
    for path in (*old, f"receipts/{gone}.json", f"last_used/{gone}", f"progress/{gone}.json"):
        (root / path).write_text("{}")
    for path in old:
        os.utime(root / path, (1, 1))
    young = ["partial/ef.part", "refs/.m0.json.0123456789cd"]
    for path in young:
        (root / path).write_text("{}")
    (root / "trash" / "x").mkdir()
    (root / "trash" / "x" / "f").write_text("12345")
    before = snapshot(root)
    predicted = run(root, dry_run=True)
    assert snapshot(root) == before
    done = run(root)
    assert predicted == done
    assert (done.changed, done.leftover_bytes) == (True, 2 + 2 + 2 + 5), "two downloads, progress and trash"
    assert all((root / path).exists() for path in young)
    assert not any((root / path).exists() for path in old)
    assert os.listdir(root / "receipts") == [f"{artifact.sha256}.json"]
    assert os.listdir(root / "last_used") == [artifact.sha256]
    assert os.listdir(root / "progress") == os.listdir(root / "trash") == []
    assert run(root).changed is False


def test_collect_removes_young_downloads_when_space_is_short(
    server: FaultServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models(server, root, 1)
    (root / "partial" / "ef.part").write_text("young")
    monkeypatch.setattr(collect_module, "measure_disk", lambda _layout: Disk(1000, 1))
    assert run(root, 0, 0, 1).leftover_bytes == 5


def test_collect_with_a_clock_a_year_ahead_deletes_nothing(server: FaultServer, root: Path) -> None:
    models(server, root, 3)
    (root / "partial" / "ef.part").write_text("young")
    run(root, 0, 30, clock=moment)
    ahead = run(root, 0, 30, clock=lambda: moment(365))
    assert (ahead.changed, ahead.removed) == (False, ())
    assert "the clock jumped ahead" in ahead.warnings[0]
    assert "but the clock jumped ahead" in ahead.kept[0].reason
    # The next night the clock is as wrong as before, and nothing in between was a use.
    assert run(root, 0, 30, clock=lambda: moment(365)).removed == ()
    assert (root / "partial" / "ef.part").exists()
    # Room is made all the same.
    assert names(run(root, 1, 30, clock=lambda: moment(365)).removed) == ["m0", "m1", "m2"]


def test_collect_in_a_new_store_compares_the_clock_with_its_writes(server: FaultServer, root: Path) -> None:
    models(server, root, 2)
    done = run(root, 0, 30, clock=lambda: moment(365))
    assert done.removed == ()
    assert "the clock may have jumped" in done.warnings[0]


def test_collect_with_a_clock_a_year_back_deletes_nothing_and_future_uses_are_now(
    server: FaultServer, root: Path
) -> None:
    made = models(server, root, 2)
    run(root, 0, 30, clock=moment)
    assert run(root, 0, 30, clock=lambda: moment(-365)).removed == ()
    used(root, made[0], days_ago=-100)
    used(root, made[1], days_ago=1)
    (root / "clock.json").unlink()
    size = trees.bytes_below(str(root / "trees" / made[0].sha256))
    assert names(run(root, size).removed) == ["m1"]


def test_collect_ignores_a_clock_file_that_cannot_be_read(server: FaultServer, root: Path) -> None:
    made = models(server, root, 1)
    (root / "clock.json").write_text("{")
    used(root, made[0], days_ago=31)
    assert names(run(root, 0, 30).removed) == ["m0"]
    assert json.loads((root / "clock.json").read_text())["wall"] == pytest.approx(time.time(), abs=60)


def test_collect_keeps_a_tree_that_got_a_use_after_the_decision(
    server: FaultServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = models(server, root, 4)
    layout = Layout(str(root))
    lock = Flock(layout.mutate_lock(made[0].sha256), shared=True)
    decide = collect_module.decide

    def meanwhile(*arguments: Any) -> Any:
        decision = decide(*arguments)
        lock.acquire()
        install(root, made[1]._replace(pinned=True), made[2]._replace(name="other"))
        os.utime(layout.last_used(made[3].sha256))
        return decision

    monkeypatch.setattr(collect_module, "decide", meanwhile)
    done = run(root, 1)
    lock.release()
    assert done.removed == ()
    assert [item.reason.partition(" by process")[0] for item in done.kept] == [
        "in use",
        "pinned as m1",
        "it got a name meanwhile",
        "used a moment ago",
    ]
    assert consistent(root)


def test_collect_refuses_a_file_system_without_flock(
    server: FaultServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models(server, root, 2)
    monkeypatch.setattr(fcntl, "fcntl", lambda _fd, _command, _request: None)
    with pytest.raises(CiError, match=r"has no working file locks \(it grants every lock\)"):
        run(root, 1)
    assert present(root) == {"m0", "m1"}


def test_collect_regenerates_outdated_files(server: FaultServer, root: Path) -> None:
    models(server, root, 1)
    (root / "version-manifest.json").write_text("{}")
    assert run(root, dry_run=True).changed
    assert run(root).changed
    assert consistent(root)
    assert not run(root).changed


def test_collect_leaves_a_missing_store_missing(root: Path) -> None:
    assert run(root, 1).total_bytes == 0
    assert not root.exists()


def test_collect_refuses_a_store_that_others_can_write_to(root: Path) -> None:
    root.mkdir()
    root.chmod(0o777)
    with pytest.raises(CiError, match="can be written by others"):
        run(root, 1)


def test_collect_waits_for_another_collection(
    server: FaultServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models(server, root, 1)
    monkeypatch.setattr(locks, "_COLLECT_SECONDS", 0.1)
    with (
        Flock(Layout(str(root)).collect_lock, mode=0o600),
        pytest.raises(CiError, match=r"because process \d+ \(.+\) holds it"),
    ):
        run(root, 1)
    assert present(root) == {"m0"}
