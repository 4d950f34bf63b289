from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.host.sizes import size
from ansible_collections.coldvox.ci.plugins.modules import artifact

from tests._support.fault_server import FaultServer, fault_server, model_zip, sha256

MODEL = model_zip()


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        running.serve("/m.zip", MODEL)
        yield running


@pytest.fixture
def options(server: FaultServer, tmp_path: Path) -> dict[str, Any]:
    item = {
        "name": "m",
        "kind": "model",
        "url": server.url + "/m.zip",
        "sha256": sha256(MODEL),
        "strip_components": 1,
        "link": str(tmp_path / "link"),
    }
    return {"store": str(tmp_path / "store"), "artifacts": [item]}


def test_artifact_is_present_then_hit_then_absent(
    run_module: Any, options: dict[str, Any], tmp_path: Path
) -> None:
    predicted = run_module(artifact.main, check_mode=True, **options)
    assert not (tmp_path / "store").exists()
    first = run_module(artifact.main, **options)
    assert (predicted["changed"], predicted["artifacts"][0]["outcome"]) == (True, "fetched")
    assert (first["hits"], first["misses"], first["bytes_downloaded"]) == (0, 1, len(MODEL))
    assert first["artifacts"][0]["path"] == str(tmp_path / "store" / "trees" / sha256(MODEL))
    assert predicted["msg"] == "would be: 1 fetched"
    assert first["msg"].startswith(f"1 fetched ({size(len(MODEL))} in ")
    assert (tmp_path / "link" / "README").exists()
    again = run_module(artifact.main, **options)
    assert (again["changed"], again["hits"], again["misses"]) == (False, 1, 0)
    assert again["msg"] == "1 hit"
    gone = run_module(
        artifact.main, store=options["store"], state="absent", artifacts=[{"name": "m"}], _ansible_diff=True
    )
    assert (gone["changed"], gone["artifacts"][0]["outcome"]) == (True, "removed")
    assert gone["diff"]["after"] == {"m": None}
    assert not os.path.lexists(tmp_path / "link")


def test_artifact_diff_shows_names_and_options_of_the_user(run_module: Any, options: dict[str, Any]) -> None:
    for check_mode in (True, False):
        diff = run_module(artifact.main, check_mode=check_mode, _ansible_diff=True, **options)["diff"]
        assert diff["before"] == {"m": None}
        assert diff["after"]["m"] == {
            "sha256": sha256(MODEL),
            "kind": "model",
            "pinned": False,
            "set_name": "",
            "link": options["artifacts"][0]["link"],
        }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sha256": "0" * 64}, "Artifact m: the sha256 0000"),
        ({"sha256": sha256(b"other")}, f"expected sha256 {sha256(b'other')} and got {sha256(MODEL)}"),
        ({"url": None}, "Artifact m: it has no url"),
        ({"sha256": None}, "Artifact m: it has no sha256"),
        ({"url": "http://127.0.0.1:9/m.zip"}, "http://127.0.0.1:9/m.zip: Connection refused"),
    ],
)
def test_artifact_refuses_bad_input_in_one_sentence(
    run_module: Any, options: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    options["artifacts"][0].update(change)
    answer = run_module(artifact.main, **options)
    assert answer["failed"]
    assert words in answer["msg"]
    assert "\n" not in answer["msg"]
    assert "Traceback" not in answer["msg"]


@pytest.mark.parametrize("option", ["concurrency", "timeout_seconds", "max_ratio"])
def test_artifact_refuses_a_limit_of_zero(run_module: Any, options: dict[str, Any], option: str) -> None:
    assert "must be at least 1" in run_module(artifact.main, **{**options, option: 0})["msg"]


def test_artifact_documentation_equals_its_arguments() -> None:
    import yaml

    def compare(documented: dict[str, Any], declared: dict[str, Any]) -> None:
        assert sorted(documented) == sorted(declared)
        for name, option in declared.items():
            for key in ("type", "elements", "default", "choices", "required"):
                assert documented[name].get(key) == option.get(key), (name, key)
            if "options" in option:
                compare(documented[name]["suboptions"], option["options"])

    compare(yaml.safe_load(artifact.DOCUMENTATION)["options"], artifact.ARGUMENTS)
