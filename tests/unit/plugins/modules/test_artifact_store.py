from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import Layout
from ansible_collections.coldvox.ci.plugins.module_utils.store.lease import Acquire, LeaseFile
from ansible_collections.coldvox.ci.plugins.modules import (
    artifact_store,
    artifact_store_info,
    cache_lock_info,
)

from tests._support.fault_server import FaultServer, fault_server
from tests._support.store_models import models, used


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


@pytest.fixture
def store(run_module: Any, tmp_path: Path) -> Any:
    def call(**options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = run_module(
            artifact_store.main, **{"store": str(tmp_path / "store"), **options}
        )
        return answer

    return call


def test_artifact_store_collects_as_predicted_then_changes_nothing(
    store: Any, server: FaultServer, tmp_path: Path
) -> None:
    root = tmp_path / "store"
    made = models(server, root, 2)
    used(root, made[0], days_ago=40)
    wish = {"state": "collected", "max_unused_days": 30}
    predicted = store(check_mode=True, _ansible_diff=True, **wish)
    dry = store(dry_run=True, **wish)
    assert len(os.listdir(root / "trees")) == 2
    done = store(_ansible_diff=True, **wish)
    assert {**predicted, "invocation": None} == {**done, "invocation": None}
    assert (done["changed"], dry["changed"]) == (True, False)
    assert [item["names"] for item in done["removed"]] == [["m0"]]
    assert dry["removed"] == done["removed"]
    assert done["removed"][0]["reason"] == "unused for 40 days"
    assert [item["reason"] for item in done["kept"]] == ["no limit asks for its room"]
    assert (done["freed_bytes"], done["corrupt"]) == (done["removed"][0]["bytes"], [])
    assert done["diff"] == {
        "before": {"m0": made[0].sha256, "m1": made[1].sha256},
        "after": {"m1": made[1].sha256},
    }
    again = store(**wish)
    assert (again["changed"], again["removed"], again["total_bytes"]) == (False, [], done["total_bytes"])
    assert "diff" not in again


def test_artifact_store_verify_warns_then_repairs_then_changes_nothing(
    store: Any, server: FaultServer, tmp_path: Path
) -> None:
    root = tmp_path / "store"
    (model,) = models(server, root, 1)
    assert store(state="verified")["kept"][0]["names"] == ["m0"]
    (root / "trees" / model.sha256 / "evil").write_text("x")
    result = store(state="verified")
    assert (result["changed"], result["corrupt"][0]["outcome"], result["kept"]) == (False, "found", [])
    assert "is damaged, evil was added" in str(result["warnings"])
    predicted = store(state="verified", repair=True, check_mode=True)
    assert (predicted["changed"], predicted["corrupt"][0]["outcome"]) == (True, "repaired")
    assert (root / "trees" / model.sha256 / "evil").exists()
    done = store(state="verified", repair=True, full=True, _ansible_diff=True)
    assert (done["changed"], done["corrupt"][0]["outcome"]) == (True, "repaired")
    assert done["diff"] == {
        "before": {"m0": "evil was added after it was published"},
        "after": {"m0": "sound"},
    }
    assert store(state="verified", repair=True)["changed"] is False
    (root / "trees" / model.sha256 / "evil").write_text("x")
    server.pages.clear()
    gone = store(state="verified", repair=True)
    assert gone["removed"][0]["names"] == ["m0"]
    assert "404" in gone["removed"][0]["reason"]
    assert gone["total_bytes"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"state": "collected", "repair": True}, "repair is for state=verified and would be ignored"),
        ({"state": "verified", "keep_bytes": 1}, "keep_bytes is for state=collected"),
        ({"state": "collected", "min_free_percent": 101}, "a percentage not above 100"),
        ({"state": "collected", "max_unused_days": -1}, "must not be below 0"),
    ],
)
def test_artifact_store_refuses_bad_input_in_one_sentence(
    store: Any, options: dict[str, Any], words: str
) -> None:
    answer = store(**options)
    assert answer["failed"]
    assert words in answer["msg"]
    assert "\n" not in answer["msg"]


def test_artifact_store_refuses_a_file_as_store(store: Any, run_module: Any, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("mine")
    for state in ("collected", "verified"):
        assert "is not a directory" in store(state=state)["msg"]
    assert run_module(artifact_store_info.main, store=str(tmp_path / "store"))["exists"] is False


def test_info_modules_return_artifacts_leases_and_locks(
    run_module: Any, server: FaultServer, tmp_path: Path
) -> None:
    root = tmp_path / "store"
    (model,) = models(server, root, 1)
    layout = Layout(str(root))
    LeaseFile(layout, "toolchains").acquire(Acquire("alice", 60), 0)
    (tmp_path / "more").mkdir()
    with (
        Flock(layout.mutate_lock(model.sha256), shared=True),
        Flock(str(tmp_path / "more" / "x.lock")),
    ):
        answer = run_module(artifact_store_info.main, store=str(root))
        locks = run_module(cache_lock_info.main, store=str(root), lock_dirs=[str(tmp_path / "more")])
    assert (answer["changed"], answer["exists"], answer["artifacts"][0]["name"]) == (False, True, "m0")
    assert answer["artifacts"][0]["in_use"].startswith("in use by process")
    assert answer["total_bytes"] == answer["artifacts"][0]["bytes"]
    assert locks["changed"] is False
    assert [(lease["name"], lease["owner"]) for lease in locks["leases"]] == [("toolchains", "alice")]
    assert [(lock["name"], lock["mode"]) for lock in locks["locks"]] == [
        (f"{model.sha256}.mutate", "shared"),
        ("x", "exclusive"),
    ]


@pytest.mark.parametrize("module", [artifact_store, artifact_store_info, cache_lock_info])
def test_store_module_documentation_equals_its_arguments(module: Any) -> None:
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert sorted(documented) == sorted(module.ARGUMENTS)
    for name, option in module.ARGUMENTS.items():
        for key in ("type", "elements", "default", "choices", "required"):
            assert documented[name].get(key) == option.get(key), (name, key)


def test_store_module_returns_only_documented_keys(
    store: Any, run_module: Any, server: FaultServer, tmp_path: Path
) -> None:
    models(server, tmp_path / "store", 1)
    everywhere = {"changed", "invocation", "warnings", "deprecations"}
    for answer, module in (
        (store(state="verified"), artifact_store),
        (store(state="collected"), artifact_store),
        (run_module(artifact_store_info.main, store=str(tmp_path / "store")), artifact_store_info),
        (run_module(cache_lock_info.main, store=str(tmp_path / "store")), cache_lock_info),
    ):
        documented = yaml.safe_load(module.RETURN)
        assert set(answer) - everywhere == set(documented)
        for key in documented:
            if isinstance(answer[key], list) and answer[key]:
                assert set(answer[key][0]) == set(documented[key]["contains"])
