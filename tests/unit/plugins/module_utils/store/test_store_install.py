from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock
from ansible_collections.coldvox.ci.plugins.module_utils.inventory.vosk import vosk_model_artifacts
from ansible_collections.coldvox.ci.plugins.module_utils.store import locks
from ansible_collections.coldvox.ci.plugins.module_utils.store.artifact import parse
from ansible_collections.coldvox.ci.plugins.module_utils.store.describe import (
    ActiveDownload,
    active_downloads,
)
from ansible_collections.coldvox.ci.plugins.module_utils.store.install import Report, Store
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import Layout

from tests._support.fault_server import (
    FaultServer,
    install,
    model_zip,
    noise,
    settings,
    sha256,
    tar_of,
    wanted,
    zip_of,
)
from tests._support.store_models import DIGEST, MODEL, consistent, flip, model, snapshot


def outcomes(report: Report) -> list[str]:
    return [result.outcome for result in report.results]


def test_install_fetches_a_model_once_and_hits_from_then_on(server: FaultServer, root: Path) -> None:
    artifact = model(server, expect=["am/final.mdl"])
    first = install(root, artifact)
    assert (first.changed, outcomes(first)) == (True, ["fetched"])
    assert first.results[0].bytes_downloaded == len(MODEL)
    assert first.results[0].source_url == server.url + "/m.zip"
    assert (root / "models" / "m" / "am" / "final.mdl").read_bytes() == noise(200_000, "model")
    assert consistent(root)
    before = snapshot(root)
    again = install(root, artifact)
    assert (again.changed, outcomes(again)) == (False, ["hit"])
    assert snapshot(root) == before
    assert server.count("/m.zip") == 1


def test_install_publishes_with_fixed_owners_and_modes(server: FaultServer, root: Path) -> None:
    report = install(root, model(server))
    top = Path(report.results[0].path or "")
    for path in [top, *top.rglob("*")]:
        status = path.lstat()
        expected = 0o755 if path.is_dir() else 0o644
        assert (stat.S_IMODE(status.st_mode), status.st_uid) == (expected, os.geteuid())
    for name, mode in {
        "": 0o755,
        "trees": 0o755,
        "partial": 0o700,
        "staging": 0o700,
        "refs/m.json": 0o644,
    }.items():
        assert stat.S_IMODE((root / name).stat().st_mode) == mode
    for name in ("checksums.txt", "version-manifest.json"):
        assert stat.S_IMODE((root / name).stat().st_mode) == 0o644


def test_install_predicts_in_check_mode_and_touches_nothing(server: FaultServer, root: Path) -> None:
    artifacts = [model(server), model(server)._replace(name="same", kind="other")]
    predicted = install(root, *artifacts, predict=True)
    assert (predicted.changed, outcomes(predicted)) == (True, ["fetched", "linked"])
    assert not root.exists()
    assert server.requests == []
    done = install(root, *artifacts)
    assert (outcomes(done), done.before, done.after) == (
        outcomes(predicted),
        predicted.before,
        predicted.after,
    )
    before = snapshot(root)
    assert not install(root, *artifacts, predict=True).changed
    assert snapshot(root) == before


def test_install_makes_one_tree_for_two_names_of_one_content(server: FaultServer, root: Path) -> None:
    first = model(server)
    report = install(root, first, first._replace(name="other"))
    assert outcomes(report) == ["fetched", "linked"]
    assert os.listdir(root / "trees") == [DIGEST]
    assert server.count("/m.zip") == 1
    assert outcomes(install(root, first, first._replace(name="third"))) == ["hit", "linked"]


def test_remove_keeps_the_tree_while_a_name_is_left(server: FaultServer, root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    first = model(server, link=str(link))
    install(root, first, first._replace(name="other", link=""))
    store = Store(str(root), settings())
    assert outcomes(store.remove([("m", "")])) == ["removed"]
    assert not os.path.lexists(link)
    assert os.listdir(root / "trees") == [DIGEST]
    assert outcomes(Store(str(root), settings(predict=True)).remove([("other", "")])) == ["removed"]
    assert os.listdir(root / "trees") == [DIGEST]
    assert outcomes(Store(str(root), settings()).remove([("other", ""), ("never", "")])) == [
        "removed",
        "absent",
    ]
    assert os.listdir(root / "trees") == os.listdir(root / "models") == []
    assert consistent(root)
    last = Store(str(root), settings()).remove([("other", "")])
    assert (last.changed, outcomes(last)) == (False, ["absent"])


def test_remove_keeps_a_tree_that_a_job_reads(server: FaultServer, root: Path) -> None:
    install(root, model(server))
    with Flock(Layout(str(root)).mutate_lock(DIGEST), shared=True):
        Store(str(root), settings()).remove([("m", "")])
        assert os.listdir(root / "trees") == [DIGEST]
        assert outcomes(install(root, model(server))) == ["linked"]
    assert server.count("/m.zip") == 1


DAMAGES: dict[str, Any] = {
    "shorter": lambda tree: (tree / "README").write_bytes(b""),
    "missing": lambda tree: (tree / "README").unlink(),
    "added": lambda tree: (tree / "evil").write_bytes(b"x"),
    "writable": lambda tree: (tree / "README").chmod(0o666),
    "touched": lambda tree: os.utime(tree / "README"),
    "link": lambda tree: ((tree / "README").unlink(), (tree / "README").symlink_to("/etc/passwd")),
    "receipt gone": lambda tree: (tree.parents[1] / "receipts" / f"{tree.name}.json").unlink(),
    "receipt empty": lambda tree: (tree.parents[1] / "receipts" / f"{tree.name}.json").write_text(""),
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_install_repairs_a_damaged_tree_once(server: FaultServer, root: Path, damage: str) -> None:
    artifact = model(server)
    tree = Path(install(root, artifact).results[0].path or "")
    DAMAGES[damage](tree)
    assert outcomes(install(root, artifact, predict=True)) == ["repaired"]
    repaired = install(root, artifact)
    assert (repaired.changed, outcomes(repaired)) == (True, ["repaired"])
    assert server.count("/m.zip") == 2
    assert consistent(root)
    assert outcomes(install(root, artifact)) == ["hit"]


def test_install_finds_a_flipped_bit_with_full(server: FaultServer, root: Path) -> None:
    artifact = model(server)
    flip(Path(install(root, artifact).results[0].path or "") / "am" / "final.mdl")
    assert outcomes(install(root, artifact)) == ["hit"]
    assert outcomes(install(root, artifact, full=True)) == ["repaired"]
    assert outcomes(install(root, artifact, full=True)) == ["hit"]


@pytest.mark.parametrize("durable", [True, False])
def test_install_trusts_a_receipt_of_an_earlier_version_only_if_it_is_durable(
    server: FaultServer, root: Path, durable: bool
) -> None:
    """Earlier versions wrote ``durable: false`` where the file system has no fsync."""
    artifact = model(server)
    install(root, artifact)
    path = root / "receipts" / f"{DIGEST}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "durable": durable, "boot_id": "earlier"}))
    assert outcomes(install(root, artifact)) == ["hit" if durable else "repaired"]
    assert consistent(root)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_install_refuses_a_file_system_without_fsync(
    server: FaultServer, root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(_fd: int) -> None:
        raise OSError(number, os.strerror(number))

    install(root, model(server))
    before = snapshot(root)
    newer = model_zip("newer")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(
        CiError, match=r"^Artifact m: The file system of .* has no fsync .*; use a local file"
    ):
        install(root, wanted("m", server.serve("/n.zip", newer), newer, strip_components=1))
    assert snapshot(root) == before


def test_install_of_a_new_version_leaves_the_old_tree_to_its_readers(server: FaultServer, root: Path) -> None:
    install(root, model(server))
    newer = model_zip("newer")
    report = install(
        root, wanted("m", server.serve("/n.zip", newer), newer, strip_components=1, kind="model")
    )
    assert outcomes(report) == ["fetched"]
    assert sorted(os.listdir(root / "trees")) == sorted([DIGEST, sha256(newer)])
    assert (root / "models" / "m").readlink() == Path("../trees") / sha256(newer)
    assert consistent(root)


def test_install_fetches_another_shape_unless_others_rely_on_it(server: FaultServer, root: Path) -> None:
    install(root, model(server))
    flat = model(server, strip_components=0, expect=["model-1/README"])
    assert outcomes(install(root, flat)) == ["fetched"]
    assert (root / "models" / "m" / "model-1" / "README").exists()
    with pytest.raises(CiError, match="the same content is installed as m with another"):
        install(root, model(server)._replace(name="other"))
    assert consistent(root)


def test_install_moves_links_and_removes_old_ones(server: FaultServer, root: Path, tmp_path: Path) -> None:
    first, two = tmp_path / "l" / "one", tmp_path / "l" / "two"
    install(root, model(server, link=str(first)))
    assert (first / "README").exists()
    assert outcomes(install(root, model(server, link=str(two)))) == ["linked"]
    assert not os.path.lexists(first)
    two.unlink()
    assert outcomes(install(root, model(server, link=str(two)), predict=True)) == ["linked"]
    assert outcomes(install(root, model(server, link=str(two)))) == ["linked"]
    assert outcomes(install(root, model(server, link=str(two)))) == ["hit"]


def test_install_with_a_blocked_link_downloads_nothing(
    server: FaultServer, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").write_text("mine")
    with pytest.raises(CiError, match="in the way"):
        install(root, model(server, link=str(tmp_path / "link")))
    assert server.requests == []
    assert (tmp_path / "link").read_text() == "mine"


def test_install_links_a_single_file_that_may_be_executable(
    server: FaultServer, root: Path, tmp_path: Path
) -> None:
    program = b"#!/bin/sh\necho works\n"
    url = server.serve("/dist/rustup-init", program)
    artifact = wanted("rustup", url, program, executable=["rustup-init"], link=str(tmp_path / "run"))
    result = install(root, artifact).results[0]
    assert result.file == f"{result.path}/rustup-init"
    assert subprocess.check_output([str(tmp_path / "run")]) == b"works\n"
    assert outcomes(install(root, artifact)) == ["hit"]
    assert consistent(root)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"expect": ["am/final.mdl", "graph/HCLG.fst"]}, "m: graph/HCLG.fst is expected and not in"),
        ({"executable": ["run.sh"]}, "m: executable names run.sh, which is no file"),
        ({"strip_components": 2}, "is not below 2 directories"),
        ({"format": "tar"}, "the tar archive is refused: it is corrupt"),
    ],
)
def test_install_publishes_nothing_that_does_not_fit(
    server: FaultServer, root: Path, more: dict[str, Any], words: str
) -> None:
    with pytest.raises(CiError, match=words):
        install(root, model(server, **more))
    assert os.listdir(root / "trees") == os.listdir(root / "refs") == os.listdir(root / "partial") == []
    assert outcomes(install(root, model(server))) == ["fetched"]


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(["am/final.mdl", "conf/mfcc.conf", "conf/model.conf", "graph/HCLr.fst"], id="second"),
        pytest.param(["final.mdl", "mfcc.conf", "HCLr.fst", "ivector/final.ie"], id="first, flat"),
    ],
)
def test_install_takes_each_layout_of_a_vosk_model(server: FaultServer, root: Path, files: list[str]) -> None:
    """alphacep/vosk-api issue 1460: libvosk loads both (src/model.cc, ConfigureV1 and ConfigureV2)."""
    data = zip_of({f"vosk-model-small-pt-0.3/{path}": b"x" for path in files})
    entry = {"name": "pt", "url": server.serve("/pt.zip", data), "sha256": sha256(data)}
    (options,) = vosk_model_artifacts([entry], "", {})
    assert outcomes(install(root, parse(options))) == ["fetched"]
    assert (root / "models" / "pt" / files[0]).is_file()


def test_install_refuses_half_a_vosk_model(server: FaultServer, root: Path) -> None:
    data = zip_of({"m/final.mdl": b"x", "m/README": b"x"})
    entry = {"name": "pt", "url": server.serve("/pt.zip", data), "sha256": sha256(data)}
    (options,) = vosk_model_artifacts([entry], "", {})
    with pytest.raises(CiError, match=r"pt: conf/model.conf or mfcc.conf is expected and not in"):
        install(root, parse(options))


def test_install_names_all_failures_and_keeps_what_worked(server: FaultServer, root: Path) -> None:
    good = model(server)
    bad = wanted("bad", server.url + "/none", b"nothing")
    worse = wanted("worse", server.serve("/worse", b"other"), b"expected")
    with pytest.raises(CiError) as caught:
        install(root, good, bad, worse)
    message = str(caught.value)
    assert message.startswith("2 of 3 artifacts failed: Artifact bad cannot be fetched, ")
    assert f"expected sha256 {worse.sha256} and got {sha256(b'other')}" in message
    assert [item["outcome"] for item in caught.value.details["artifacts"]] == ["fetched"]
    assert caught.value.details["changed"] is True
    assert outcomes(install(root, good)) == ["hit"]
    assert consistent(root)


def test_install_keeps_the_old_tree_after_a_failed_update(server: FaultServer, root: Path) -> None:
    install(root, model(server))
    with pytest.raises(CiError):
        install(root, wanted("m", server.url + "/none", b"new", kind="model"))
    assert (root / "models" / "m" / "README").exists()
    assert outcomes(install(root, model(server))) == ["hit"]


def test_install_waits_for_the_download_of_another_process(server: FaultServer, root: Path) -> None:
    server.serve("/m.zip", MODEL, rate=400_000)
    results: list[Report] = []
    threads = [
        threading.Thread(target=lambda: results.append(install(root, model(server)))) for _number in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.count("/m.zip") == 1
    ordered = sorted(outcome for report in results for outcome in outcomes(report))
    assert ordered[0] == "fetched"
    assert set(ordered[1:]) <= {"hit", "linked"}
    assert consistent(root)


def test_install_fetches_different_artifacts_in_parallel(server: FaultServer, root: Path) -> None:
    artifacts = []
    for number in range(4):
        data = tar_of({"f": noise(100_000, str(number))})
        artifacts.append(wanted(f"a{number}", server.serve(f"/{number}.tar.gz", data, rate=200_000), data))
    report = install(root, *artifacts)
    assert [result.name for result in report.results] == ["a0", "a1", "a2", "a3"]
    assert max(result.seconds for result in report.results) > 0.4
    assert sum(result.seconds for result in report.results) > 1.6
    assert consistent(root)


def test_install_refuses_a_file_system_without_flock(
    server: FaultServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "fcntl", lambda _fd, _command, _request: None)
    with pytest.raises(
        CiError, match=r"^The file system of .* has no working file locks .*; use a local file system"
    ):
        install(root, model(server))
    assert server.requests == []
    assert os.listdir(root / "trees") == os.listdir(root / "refs") == os.listdir(root / "partial") == []


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_install_refuses_a_network_file_system(
    server: FaultServer, root: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(locks, "file_system_type", lambda _path: kind)
    with pytest.raises(CiError, match=rf"is on {kind}, a network file system"):
        install(root, model(server))
    assert server.requests == []


def test_install_clears_leftovers_of_a_killed_process(server: FaultServer, root: Path) -> None:
    install(root, model(server))
    for area in ("staging", "trash"):
        (root / area / f"{DIGEST}.0123").mkdir()
        (root / area / f"{DIGEST}.0123" / "half").write_text("x")
    install(root, model(server))
    assert consistent(root)


def test_install_leaves_the_staging_of_a_living_process(server: FaultServer, root: Path) -> None:
    install(root, model(server))
    (root / "staging" / f"{DIGEST}.0123").mkdir()
    with Flock(Layout(str(root)).download_lock(DIGEST), mode=0o600):
        install(root, model(server))
        assert os.listdir(root / "staging") == [f"{DIGEST}.0123"]


def test_install_regenerates_outdated_files(server: FaultServer, root: Path) -> None:
    install(root, model(server))
    (root / "checksums.txt").unlink()
    assert install(root, model(server), predict=True).changed
    assert install(root, model(server)).changed
    (root / "version-manifest.json").write_text("{}")
    assert install(root, model(server)).changed
    assert consistent(root)
    assert not install(root, model(server)).changed


def test_active_downloads_shows_what_is_next_and_is_empty_afterwards(server: FaultServer, root: Path) -> None:
    bodies = {name: noise(300_000, name) for name in ("a", "b", "c")}
    files = [
        wanted(name, server.serve(f"/{name}", body, rate=400_000), body) for name, body in bodies.items()
    ]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(install, root, *files, concurrency=1)
        seen: dict[str, ActiveDownload] = {}
        while not running.done():
            seen.update({active.name: active for active in active_downloads(Layout(str(root)))})
            time.sleep(0.02)
    assert {name: active.next for name, active in seen.items()} == {"a": ("b", "c"), "b": ("c",), "c": ()}
    assert seen["a"].next_count == 2
    assert active_downloads(Layout(str(root))) == []


@pytest.mark.parametrize("area", ["partial", "progress"])
def test_install_leaves_a_half_written_file_to_its_process(
    server: FaultServer, root: Path, area: str
) -> None:
    install(root, model(server))
    (note := root / area / f".{'0' * 64}.part.json.0123456789ab").write_text("half")
    with Flock(Layout(str(root)).download_lock("0" * 64), mode=0o600):
        install(root, model(server))
        assert note.exists()
    install(root, model(server))
    assert not note.exists()
