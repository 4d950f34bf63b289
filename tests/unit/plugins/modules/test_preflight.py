"""The check of a host before the first change, on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.modules import preflight

RunModule = Callable[..., dict[str, Any]]


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return options for a machine that counts as one with systemd."""
    real = os.path.isdir
    monkeypatch.setattr(os.path, "isdir", lambda path: path == "/run/systemd/system" or real(path))
    return {name: f"{tmp_path}/{name}" for name in ("store", "state_dir", "base_dir")}


def test_preflight_gathers_facts_and_what_the_host_knows(
    tmp_path: Path, run_module: RunModule, options: dict[str, Any]
) -> None:
    records = tmp_path / "base_dir/one/.coldvox"
    records.mkdir(parents=True)
    (records / "registration.json").write_text(json.dumps({"agent_id": 7, "url": "https://github.com/o/r"}))
    (tmp_path / "base_dir/broken/.coldvox/registration.json").mkdir(parents=True)
    here = tmp_path / "here.sh"
    here.touch()
    missing = f"{tmp_path}/missing.sh"
    done = run_module(
        preflight.main, gather_subset=["architecture", "pkg_mgr"], files=[str(here), missing], **options
    )
    facts = done["ansible_facts"]
    assert facts["ansible_architecture"] == os.uname().machine
    assert "ansible_pkg_mgr" in facts
    assert "ansible_mounts" not in facts, "nothing that was not asked for"
    assert facts["coldvox_host"]["missing_files"] == [missing]
    known = {owned["name"]: owned["recorded_id"] for owned in facts["coldvox_host"]["registrations"]}
    assert known == {"broken": None, "one": 7}
    assert (done["changed"], os.path.exists(options["store"])) == (False, False)


def test_preflight_refuses_a_full_disk_for_a_new_host_only(
    tmp_path: Path, run_module: RunModule, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "LEAST_BYTES", 2**62)
    refused = run_module(preflight.main, **options)
    assert refused["failed"]
    assert f"are free for {tmp_path}/store and a new host needs" in refused["msg"]
    assert refused["msg"].endswith("Nothing was changed.")
    (tmp_path / "store").mkdir()
    assert not run_module(preflight.main, **options).get("failed")


@pytest.mark.skipif(os.path.isdir("/run/systemd/system"), reason="needs a machine without systemd")
def test_preflight_refuses_a_machine_without_systemd(tmp_path: Path, run_module: RunModule) -> None:
    refused = run_module(preflight.main, store=str(tmp_path), state_dir=str(tmp_path), base_dir=str(tmp_path))
    assert "does not run systemd" in refused["msg"]
