from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.config import Config, read_config
from ansible_collections.coldvox.ci.plugins.module_utils.host.paths import Paths, paths_of
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.sample import target_of


def write(directory: Path, content: str) -> str:
    (directory / "agent.json").write_text(content, encoding="utf-8")
    return str(directory)


def test_config_without_a_file_has_the_defaults(tmp_path: Path) -> None:
    assert read_config(str(tmp_path)) == Config()


def test_config_takes_given_keys_and_ignores_unknown_keys(tmp_path: Path) -> None:
    given = {"host": "laptop", "policy": {"also": []}, "interval_seconds": 10, "models": ["m"], "later": 1}
    found = read_config(write(tmp_path, json.dumps(given)))
    assert (found.host, found.policy, found.interval_seconds, list(found.models)) == (
        "laptop",
        {"also": []},
        10,
        ["m"],
    )
    assert found.github_url == "https://github.com"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "Expecting property"),
        ("[]", "not a dictionary"),
        ('{"policy": []}', "its 'policy' is"),
        ('{"github_url": 5}', "its 'github_url' is 5"),
        ('{"models": "m"}', "its 'models' is 'm'"),
        ('{"models": [1]}', "its 'models' is"),
        ('{"interval_seconds": 0}', "its 'interval_seconds' is 0"),
        ('{"interval_seconds": true}', "its 'interval_seconds' is True"),
    ],
)
def test_config_broken_file_raises_one_sentence(tmp_path: Path, content: str, problem: str) -> None:
    with pytest.raises(
        CiError, match=f"agent.json' cannot be used .*{re.escape(problem)}.*converge the host"
    ):
        read_config(write(tmp_path, content))


def test_paths_of_the_installed_runnerctl() -> None:
    given: dict[str, Any] = {"run": "/r", "store": "/s", "nothing": "/n"}
    paths = paths_of(given)
    assert paths == Paths(store="/s", run="/r")
    target = target_of(paths, Config(work_dir="/w", models=("m",)))
    assert (target.models_dir, target.base_dir, target.work_dir) == ("/s/models", Paths().runners, "/w")
