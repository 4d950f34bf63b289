from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.modules import file_set

RunModule = Callable[..., dict[str, Any]]
ME = {"owner": str(os.geteuid()), "group": str(os.getegid())}


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    return {
        "name": "test",
        "state_dir": f"{tmp_path}/state",
        "files": [
            {**ME, "path": f"{tmp_path}/etc/a", "content": "hello\n"},
            {**ME, "path": f"{tmp_path}/etc/l", "link_to": "a"},
        ],
        "absent": [f"{tmp_path}/old"],
        "on_change": [["touch", f"{tmp_path}/ran"]],
    }


def test_file_set_check_mode_predicts_the_run(
    tmp_path: Path, run_module: RunModule, options: dict[str, Any]
) -> None:
    (tmp_path / "old").write_text("x")
    predicted = run_module(file_set.main, check_mode=True, _ansible_diff=True, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]
    done = run_module(file_set.main, _ansible_diff=True, **options)
    for key in ("changed", "changed_paths", "commands_run", "diff"):
        assert predicted[key] == done[key], key
    assert done["changed_paths"] == [f"{tmp_path}/etc/a", f"{tmp_path}/etc/l", f"{tmp_path}/old"]
    assert done["commands_run"] == [["touch", f"{tmp_path}/ran"]]
    assert (tmp_path / "ran").exists()


def test_file_set_second_run_changes_nothing(run_module: RunModule, options: dict[str, Any]) -> None:
    run_module(file_set.main, **options)
    done = run_module(file_set.main, **options)
    assert (done["changed"], done["changed_paths"], done["commands_run"]) == (False, [], [])
    assert "diff" not in done


def test_file_set_runs_a_pending_command_as_a_change(
    tmp_path: Path, run_module: RunModule, options: dict[str, Any]
) -> None:
    run_module(file_set.main, **options)
    (tmp_path / "state/pending/test").write_text("{}")
    (tmp_path / "ran").unlink()
    done = run_module(file_set.main, **options)
    assert (done["changed"], done["changed_paths"]) == (True, [])
    assert (tmp_path / "ran").exists()


def test_digest_of_a_content_is_enough_where_nothing_differs(
    tmp_path: Path, run_module: RunModule, options: dict[str, Any]
) -> None:
    digest = {**ME, "path": f"{tmp_path}/etc/a", "sha256": hashlib.sha256(b"hello\n").hexdigest()}
    short = {**options, "files": [digest, options["files"][1]]}
    (tmp_path / "old").write_text("x")
    asked = run_module(file_set.main, **short)
    assert (asked["changed"], asked["lacks"]) == (False, [f"{tmp_path}/etc/a"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]
    run_module(file_set.main, **options)
    done = run_module(file_set.main, **short)
    assert done["changed"] is False
    assert "lacks" not in done
    (tmp_path / "etc/a").chmod(0o600)
    assert run_module(file_set.main, **short)["lacks"] == [f"{tmp_path}/etc/a"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"content": "x", "link_to": "y"}, "mutually exclusive"),
        ({}, "one of the following"),
        ({"template": "a.j2"}, "on the controller"),
        ({"source": "a.txt"}, "on the controller"),
        ({"content": "x", "mode": "644"}, "four octal digits"),
        ({"content": "x", "owner": "no-such-user-here"}, "does not have; create it first"),
    ],
)
def test_file_set_refuses_bad_entries_in_one_sentence(
    tmp_path: Path, run_module: RunModule, entry: dict[str, Any], said: str
) -> None:
    answer = run_module(file_set.main, name="test", files=[{"path": f"{tmp_path}/a", **entry}])
    assert answer["failed"]
    assert said in answer["msg"]
    assert "\n" not in answer["msg"]
    assert not (tmp_path / "a").exists()


def test_file_set_reports_an_unwritable_place_in_one_sentence(run_module: RunModule) -> None:
    answer = run_module(file_set.main, name="test", files=[{**ME, "path": "/proc/coldvox/a", "content": "x"}])
    assert answer["failed"]
    assert answer["msg"].startswith("The file set 'test' failed at ")


def test_file_set_diff_only_counts_files_of_a_source(
    tmp_path: Path, run_module: RunModule, options: dict[str, Any]
) -> None:
    sources = [
        {**ME, "path": f"{tmp_path}/lib/{name}", "content": "x\n" * 900, "brief": True}
        for name in ("a/b", "c")
    ]
    given = {**options, "files": [*options["files"], *sources]}
    predicted = run_module(file_set.main, check_mode=True, _ansible_diff=True, **given)
    assert [part["after_header"] for part in predicted["diff"]] == [
        *(f"{tmp_path}/etc/{name}" for name in "al"),
        f"{tmp_path}/lib",
    ]
    assert predicted["diff"][-1]["after"] == "2 changed files, whose contents are not shown\n"
