"""Artifacts that a list of the inventory wants: never evicted, then released."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.store import download
from ansible_collections.coldvox.ci.plugins.module_utils.store.artifact import (
    Artifact,
    contradiction,
    parse_all,
    refusals,
)
from ansible_collections.coldvox.ci.plugins.module_utils.store.collect import Policy, collect
from ansible_collections.coldvox.ci.plugins.module_utils.store.install import Report, Store

from tests._support.fault_server import FaultServer, install, model_zip, settings, sha256, wanted
from tests._support.store_models import consistent, models, present, used

SET = "vosk_models"


def keep(root: Path, *artifacts: Artifact, **more: object) -> Report:
    """Install the artifacts as the whole list SET."""
    named = [artifact._replace(set_name=SET) for artifact in artifacts]
    return Store(str(root), settings(**more)).install(named, SET)


def ref(root: Path, name: str) -> dict[str, object]:
    content: dict[str, object] = json.loads((root / "refs" / f"{name}.json").read_text())
    return content


def test_collect_never_removes_what_a_list_wants(server: FaultServer, root: Path) -> None:
    wants, _other = models(server, root, 2)
    keep(root, wants)
    used(root, wants, days_ago=400)
    done = collect(str(root), Policy(keep_bytes=1, max_unused_days=30, min_free_percent=100))
    assert present(root) == {"m0"}
    assert [(item.names, item.reason) for item in done.kept] == [(("m0",), "the inventory lists m0")]
    assert not keep(root, wants).changed


def test_install_releases_what_the_list_no_longer_has(server: FaultServer, root: Path) -> None:
    one, two, direct = models(server, root, 3)
    keep(root, one._replace(pinned=True), two)
    predicted = keep(root, two, predict=True)
    assert predicted.changed
    assert predicted.after["m0"]["released"]
    assert not ref(root, "m0")["released"]
    done = keep(root, two)
    assert done.changed
    assert (done.before["m0"], done.after["m0"]) == (predicted.before["m0"], predicted.after["m0"])
    assert ref(root, "m0")["released"]
    assert present(root) == {"m0", "m1", "m2"}, "a released one stays until its room is needed"
    assert not keep(root, two).changed
    used(root, one, days_ago=31)
    used(root, two, days_ago=31)
    collect(str(root), Policy(max_unused_days=30))
    assert present(root) == {"m1", "m2"}
    assert consistent(root)
    assert [result.outcome for result in keep(root, one, two).results] == ["fetched", "hit"]
    assert not ref(root, "m0")["released"]
    assert ref(root, direct.name)["set_name"] == ""


def test_install_of_an_empty_list_releases_everything(server: FaultServer, root: Path) -> None:
    keep(root, *models(server, root, 2))
    assert keep(root).changed
    assert all(ref(root, name)["released"] for name in ("m0", "m1"))


def test_remove_of_a_list_takes_what_it_had_too(server: FaultServer, root: Path) -> None:
    one, two, _direct = models(server, root, 3)
    keep(root, one, two)
    keep(root, two)
    assert Store(str(root), settings()).remove([], SET).changed
    assert present(root) == {"m2"}


def test_ref_of_an_older_version_counts_as_not_listed(server: FaultServer, root: Path) -> None:
    (old,) = models(server, root, 1)
    path = root / "refs" / "m0.json"
    without = {key: value for key, value in ref(root, "m0").items() if key not in ("set_name", "released")}
    path.write_text(json.dumps(without))
    assert [result.outcome for result in keep(root, old).results] == ["linked"]
    assert ref(root, "m0")["set_name"] == SET


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system of 2 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=2m,mode=0755"]
    if subprocess.run(["mount", *options, "tmpfs", place], capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a tmpfs here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_install_makes_room_from_released_artifacts_only(
    server: FaultServer, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let the kernel's limit of the disk decide whether room was made."""
    monkeypatch.setattr(download, "_SPARE_BYTES", 0)
    root = small_disk / "store"
    data = {name: model_zip(name, 400_000) for name in ("a", "b", "c", "d")}
    made = {
        name: wanted(
            name, server.serve(f"/{name}.zip", data[name]), data[name], strip_components=1, kind="model"
        )
        for name in data
    }
    keep(root, made["a"], made["b"])
    install(root, made["c"])
    with pytest.raises(CiError) as caught:
        keep(root, made["a"], made["b"], made["d"])
    assert "nothing that the inventory does not list" in str(caught.value)
    assert present(root) == {"a", "b", "c"}, "no list wants c, but no one released it either"
    done = keep(root, made["b"], made["d"])
    assert [result.outcome for result in done.results] == ["hit", "fetched"]
    assert present(root) == {"b", "c", "d"}
    assert os.listdir(root / "partial") == []


@pytest.mark.parametrize(
    ("name", "url", "other_name", "other_url", "expected"),
    [
        # The version was raised and the checksum was forgotten.
        (
            "actions-runner-2.338.0",
            "v2.338.0/x-2.338.0.tgz",
            "actions-runner-2.336.0",
            "v2.336.0/x-2.336.0.tgz",
            True,
        ),
        ("actions-runner-2.338.0", "blobs/04cf", "actions-runner-2.336.0", "blobs/04cf", True),
        ("rustup-init", "archive/1.30.0/x/rustup-init", "rustup-init", "archive/1.29.0/x/rustup-init", True),
        # A model with the checksum of another.
        (
            "vosk-model-fr-0.22",
            "vosk-model-fr-0.22.zip",
            "vosk-model-en-us-0.22",
            "vosk-model-en-us-0.22.zip",
            True,
        ),
        # Other addresses and other names of one file.
        (
            "rustup-init",
            "mirror-7.2/rustup/1.29.0/x/rustup-init",
            "rustup-init",
            "rustup/1.29.0/x/rustup-init",
            False,
        ),
        ("m-0.15", "blobs/30f2", "m-0.15", "vosk/models/m-0.15.zip", False),
        ("alias", "vosk/m-0.15.zip", "m-0.15", "vosk/m-0.15.zip", False),
        ("actions-runner-2.336.0", "v2.336.0/x.tgz", "actions-runner-latest", "v2.336.0/x.tgz", False),
    ],
)
def test_contradiction_of_one_content(
    name: str, url: str, other_name: str, other_url: str, expected: bool
) -> None:
    given = (name, f"https://here.example/{url}", other_name, f"https://there.example/{other_url}")
    assert contradiction(*given) is expected
    assert contradiction(*given[2:], *given[:2]) is expected


def test_install_refuses_a_known_content_under_another_name(server: FaultServer, root: Path) -> None:
    data = model_zip()
    url = server.serve("/vosk-model-en-us-0.22.zip", data)
    english = wanted("vosk-model-en-us-0.22", url, data, kind="model", strip_components=1)
    keep(root, english)
    french = english._replace(name="vosk-model-fr-0.22", urls=(url.replace("en-us", "fr"),))
    for artifacts in ([french], [english, french]):
        with pytest.raises(
            CiError, match=r"vosk-model-fr-0\.22: its sha256 .* is that of vosk-model-en-us-0\.22"
        ):
            keep(root, *artifacts)
    assert present(root) == {"vosk-model-en-us-0.22"}
    as_file = {"sha256": sha256(data), "kind": "model"}
    with pytest.raises(CiError, match="is that of vosk-model-en-us"):
        parse_all(
            [
                {"name": english.name, "url": url, **as_file},
                {"name": french.name, "url": french.urls[0], **as_file},
            ]
        )


def test_refusals_name_every_bad_artifact_and_the_nearest_release() -> None:
    known = ["vosk-model-small-en-us-0.15", "vosk-model-en-us-0.22"]
    good = {"name": "own", "url": "https://x.example/own.zip", "sha256": sha256(b"own")}
    assert refusals([good], known) == []
    said = refusals(
        [{"name": "vosk-model-smal-en-us-0.15"}, {"name": "zzz"}, {**good, "sha256": "a1b2c3d4" * 8}], known
    )
    assert "did you mean 'vosk-model-small-en-us-0.15'" in said[0]
    assert "known: vosk-model-small-en-us-0.15, vosk-model-en-us-0.22" in said[1]
    assert "placeholder" in said[2]
    assert "given twice" in refusals([good, good])[0]
