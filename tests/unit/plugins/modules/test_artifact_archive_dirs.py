"""Archives that are on the host already: found by checksum, copied, never trusted by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.modules import artifact

from tests._support.fault_server import model_zip, sha256

MODEL = model_zip()
# Nothing listens there: what is in the store afterwards came from the disk.
CLOSED = "http://127.0.0.1:9/models/m.zip"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "home" / "ActionRunnerCache" / "vosk-models"
    place.mkdir(parents=True)
    return place


@pytest.fixture
def options(tmp_path: Path, home: Path) -> dict[str, Any]:
    item = {"name": "m", "kind": "model", "url": CLOSED, "sha256": sha256(MODEL), "strip_components": 1}
    return {
        "store": str(tmp_path / "store"),
        "artifacts": [item],
        "archive_dirs": [str(home.parents[1]), str(tmp_path / "absent")],
    }


@pytest.mark.parametrize("name", ["m.zip", "renamed by wget.ZIP"])
def test_archive_on_the_host_is_imported(
    run_module: Any, options: dict[str, Any], home: Path, name: str
) -> None:
    (home / "other.zip").write_bytes(b"another archive")
    (home / name).write_bytes(MODEL)
    predicted = run_module(artifact.main, check_mode=True, **options)
    assert predicted["msg"] == "would be: 1 imported"
    done = run_module(artifact.main, **options)
    result = done["artifacts"][0]
    assert (done["changed"], result["outcome"], done["bytes_downloaded"]) == (True, "imported", 0)
    assert result["source_url"] == predicted["artifacts"][0]["source_url"]
    assert result["source_url"].startswith(f"file://{home}/")
    assert (home / name).read_bytes() == MODEL, "the owner's file stays"
    assert run_module(artifact.main, **options)["msg"] == "1 hit"


def test_archive_with_the_right_name_and_other_bytes_is_not_imported(
    run_module: Any, options: dict[str, Any], home: Path
) -> None:
    (home / "m.zip").write_bytes(MODEL + b"x")
    failed = run_module(artifact.main, **options)
    assert failed["failed"]
    assert f"{CLOSED}: Connection refused" in failed["msg"]


def test_pipe_or_link_with_the_name_of_an_archive_is_left_alone(
    run_module: Any, options: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.zip").write_bytes(MODEL)
    (home / "m.zip").symlink_to(tmp_path / "secret.zip")
    os.mkfifo(home / "n.zip")
    assert run_module(artifact.main, **options)["failed"]


@pytest.mark.parametrize("skipped", ["_work", ".cache", "a/b/c/d/e"])
def test_archive_below_work_and_hidden_directories_is_not_looked_for(
    run_module: Any, options: dict[str, Any], home: Path, skipped: str
) -> None:
    place = home / skipped
    place.mkdir(parents=True)
    (place / "m.zip").write_bytes(MODEL)
    assert run_module(artifact.main, **options)["failed"]


def test_unpacked_tree_is_not_imported_and_says_why(
    run_module: Any, options: dict[str, Any], home: Path
) -> None:
    (home / "m" / "am").mkdir(parents=True)
    predicted = run_module(artifact.main, check_mode=True, **options)
    assert predicted["msg"] == "would be: 1 fetched"
    warning = str(predicted["warnings"])
    assert f"'{home / 'm'}'" in warning
    assert "cannot be checked against the checksum of the archive" in warning
    (home / "m.zip").write_bytes(MODEL)
    assert "warnings" not in run_module(artifact.main, **options)
