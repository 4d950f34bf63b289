"""Misspelt inputs are found, and nothing else is."""

from __future__ import annotations

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.inventory.inputs import (
    misspelt_shared,
    role_runs,
    unknown_inputs,
    unknown_keys,
)

INPUTS = {
    "vosk_models": ["vosk_models_models", "vosk_models_link_dir"],
    "github_runner": ["github_runner_instances"],
}


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("vosk_models_modles", "vosk_models_models"),
        ("github_runner_instance", "github_runner_instances"),
        ("github_runner_zzz", None),
    ],
)
def test_unknown_inputs_suggests_the_nearest_name(name: str, suggestion: str | None) -> None:
    (found,) = unknown_inputs([name], INPUTS)
    assert found.name == name
    assert found.suggestion == suggestion


@pytest.mark.parametrize(
    "name", ["vosk_models_models", "vosk_model_catalogue", "ansible_host", "__github_runner_x"]
)
def test_unknown_inputs_ignores_other_variables(name: str) -> None:
    assert unknown_inputs([name], INPUTS) == []


def test_unknown_inputs_takes_the_role_with_the_longest_name() -> None:
    assert unknown_inputs(["github_runner_x"], {"github": [], **INPUTS})[0].role == "github_runner"
    assert unknown_inputs(["vosk_models_models"], {"vosk": [], **INPUTS}) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("vosk_model_models", "vosk_models_models"),
        ("github_runners_instances", "github_runner_instances"),
        ("gihub_runner_instances", "github_runner_instances"),
        ("vosk_model_catalogue", None),
        ("vosk_mirror_models", None),
        ("github_url", None),
    ],
)
def test_unknown_inputs_finds_a_misspelt_role(name: str, meant: str | None) -> None:
    assert [unknown.suggestion for unknown in unknown_inputs([name], INPUTS)] == ([meant] if meant else [])


def test_unknown_keys_suggests_at_every_depth() -> None:
    spec = {"name": {}, "resource_class": {}, "parts": {"options": {"size": {}}}}
    value = [{"name": "a", "resource_clas": "x"}, {"name": "b", "parts": [{"zzz": 1}], "resource_clas": "y"}]
    assert unknown_keys(value, spec, "pool") == [
        "unknown key pool.resource_clas, did you mean 'resource_class'",
        "unknown key pool.parts.zzz (known: size)",
    ]
    assert unknown_keys("no list", spec, "pool") == []


@pytest.mark.parametrize(
    ("run", "skip", "runs"),
    [
        (["all"], [], True),
        (["agent"], [], False),
        (["github_runner"], [], True),
        (["github_runner_pool"], [], True),
        (["all"], ["github_runner"], False),
        (["all"], ["github_runner_files"], True),
        (["tagged"], [], True),
        (["untagged"], [], False),
    ],
)
def test_role_runs_with_its_tags(run: list[str], skip: list[str], runs: bool) -> None:
    assert role_runs("github_runner", run, skip) is runs


def test_unknown_input_message_says_what_to_do() -> None:
    (found,) = unknown_inputs(["vosk_models_modles"], INPUTS)
    assert str(found) == (
        "'vosk_models_modles' is no input of the role 'vosk_models', did you mean 'vosk_models_models'"
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("coldvox_stor_dir", "coldvox_store_dir"),
        ("coldvox_store_dri", "coldvox_store_dir"),
        ("coldvox_repository_url", None),
        ("coldvox_store_dir", None),
        ("other_store_dir", None),
    ],
)
def test_misspelt_shared_finds_only_similar_names(name: str, meant: str | None) -> None:
    found = misspelt_shared([name], ["coldvox_store_dir", "coldvox_state_dir"])
    assert [one.suggestion for one in found] == ([meant] if meant else [])
    assert all("no input of the collection, did you mean" in str(one) for one in found)
