"""Roles: inputs with specs and defaults, small task files, a current README."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.coldvox.ci.plugins.module_utils.host.paths import Paths

from scripts import role_readme

CHECKOUT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (CHECKOUT / "roles").iterdir() if path.is_dir())
MOST_STAGES = 8
MOST_LINES = 60
BLOCK_KEYS = ("block", "rescue", "always")
SHARED = "coldvox_"
FALLBACK = re.compile(r"\b(coldvox_[a-z_]+) \| default\('([^']*)'\)")

every_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def entry_points(role: Path) -> dict[str, dict[str, Any]]:
    specs: dict[str, dict[str, Any]] = load(role / "meta/argument_specs.yml")["argument_specs"]
    return {name: spec.get("options", {}) for name, spec in specs.items()}


def tasks(entries: Any) -> Iterator[dict[str, Any]]:
    for entry in entries or []:
        yield entry
        for key in BLOCK_KEYS:
            yield from tasks(entry.get(key))


def test_roles_of_the_playbooks_exist() -> None:
    assert {role.name for role in ROLES} == {
        *("hardening", "system_packages", "rust_toolchains", "libvosk", "vosk_models", "agent"),
        *("github_runner", "maintenance"),
    }


@every_role
def test_role_defaults_equal_the_argument_specs(role: Path) -> None:
    defaults = load(role / "defaults/main.yml") or {}
    declared: dict[str, Any] = {}
    for entry_point, options in entry_points(role).items():
        own = {name: option for name, option in options.items() if not name.startswith(SHARED)}
        with_default = {name: option["default"] for name, option in own.items() if "default" in option}
        for name, default in with_default.items():
            assert name in defaults, f"{entry_point} declares a default for {name} that defaults/ lacks"
            assert defaults[name] == default, f"{entry_point} declares another default for {name}"
        declared.update(with_default)
    assert set(defaults) == set(declared), (
        "defaults/main.yml sets what no entry point declares with a default"
    )


@every_role
def test_role_default_has_a_comment(role: Path) -> None:
    lines = (role / "defaults/main.yml").read_text(encoding="utf-8").splitlines()
    inputs = [number for number, line in enumerate(lines) if line.startswith(f"{role.name}_")]
    assert [lines[number] for number in inputs if not lines[number - 1].startswith("# ")] == []


@every_role
def test_role_inputs_carry_the_name_of_their_role(role: Path) -> None:
    for options in entry_points(role).values():
        assert [name for name in options if not name.startswith((f"{role.name}_", SHARED))] == []


def shared_inputs() -> dict[str, dict[str, Any]]:
    """Return the inputs that all roles share, as the first role declares them."""
    shared: dict[str, dict[str, Any]] = {}
    for role in ROLES:
        for options in entry_points(role).values():
            for name, option in options.items():
                if name.startswith(SHARED):
                    shared.setdefault(name, option)
    return shared


@every_role
def test_role_shared_inputs_are_declared_alike_where_they_are_read(role: Path) -> None:
    read = {
        name
        for path in role.rglob("*")
        if path.is_file() and path.name not in ("argument_specs.yml", "README.md")
        for name in re.findall(rf"\b{SHARED}[a-z_]+(?= \|)", path.read_text(encoding="utf-8"))
    }
    for options in entry_points(role).values():
        declared = {name: option for name, option in options.items() if name.startswith(SHARED)}
        assert set(declared) == read
        assert declared == {name: shared_inputs()[name] for name in declared}


def test_role_shared_inputs_have_one_default_in_roles_playbooks_and_library() -> None:
    shared = {name: option["default"] for name, option in shared_inputs().items()}
    paths = [
        path for folder in ("roles", "playbooks", "inventories") for path in CHECKOUT.glob(f"{folder}/**/*")
    ]
    for path in paths:
        if path.is_file() and path.suffix != ".md":
            for name, fallback in FALLBACK.findall(path.read_text(encoding="utf-8")):
                assert name not in shared or fallback == shared[name], path
    assert shared["coldvox_store_dir"] == Paths().store
    assert shared["coldvox_state_dir"] == Paths().state
    assert shared["coldvox_runner_base_dir"] == Paths().runners


@every_role
def test_role_entry_points_have_a_task_file_and_a_description(role: Path) -> None:
    specs = load(role / "meta/argument_specs.yml")["argument_specs"]
    assert "main" in specs
    for name, spec in specs.items():
        assert (role / f"tasks/{name}.yml").is_file()
        assert spec["short_description"]
        assert spec["description"]


@every_role
def test_role_inputs_have_a_type_and_a_description(role: Path) -> None:
    def check(options: dict[str, Any]) -> None:
        for name, option in options.items():
            assert option.get("description"), name
            assert option.get("type"), name
            assert option["type"] != "list" or option.get("elements"), f"{name} is a list of what?"
            check(option.get("options", {}))

    for options in entry_points(role).values():
        check(options)


@every_role
def test_role_input_is_not_required(role: Path) -> None:
    # input_check judges the values that are there; site.yml has no other check of the roles' inputs.
    for options in entry_points(role).values():
        assert [name for name, option in options.items() if option.get("required")] == []


def test_site_checks_all_inputs_before_roles_that_do_not() -> None:
    play = load(CHECKOUT / "playbooks/site.yml")[-1]
    assert "coldvox.ci.input_check" in play["pre_tasks"][0]
    assert play["pre_tasks"][0]["tags"] == ["always"]
    imported = [task["ansible.builtin.import_role"] for task in play["tasks"]]
    assert {role["name"] for role in imported} == {
        f"coldvox.ci.{role.name}" for role in ROLES if role.name != "maintenance"
    }
    assert not any(role["rolespec_validate"] for role in imported)


@every_role
def test_role_readme_equals_the_specs(role: Path) -> None:
    readme = role / "README.md"
    assert readme.read_text(encoding="utf-8") == role_readme.filled(readme), "run: make docs"


@every_role
def test_role_main_has_few_stages(role: Path) -> None:
    assert len(load(role / "tasks/main.yml")) <= MOST_STAGES


@every_role
def test_role_task_files_are_short(role: Path) -> None:
    lengths = {
        path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in role.glob("tasks/*.yml")
    }
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


@every_role
def test_role_tasks_and_handlers_have_names(role: Path) -> None:
    for path in [*role.glob("tasks/*.yml"), *role.glob("handlers/*.yml")]:
        nameless = [task for task in tasks(load(path)) if not task.get("name")]
        assert nameless == [], path.name


def playbooks() -> list[Path]:
    return sorted(
        [
            *CHECKOUT.glob("*.yml"),
            *CHECKOUT.glob("playbooks/*.yml"),
            *CHECKOUT.glob("molecule/*/*.yml"),
            *CHECKOUT.glob("molecule/shared/playbooks/*.yml"),
        ]
    )


@pytest.mark.parametrize("path", playbooks(), ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_plays_and_their_tasks_have_names(path: Path) -> None:
    content = load(path)
    for play in content if isinstance(content, list) else []:
        assert play.get("name"), play
        for section in ("pre_tasks", "tasks", "post_tasks", "handlers"):
            assert [task for task in tasks(play.get(section)) if not task.get("name")] == []


def test_handlers_are_unique_in_the_collection() -> None:
    names = [
        handler["name"] for path in CHECKOUT.glob("roles/*/handlers/*.yml") for handler in tasks(load(path))
    ]
    assert sorted(names) == sorted(set(names))


def test_molecule_scenarios_have_no_step_that_runs_once() -> None:
    # Molecule keeps one state for all scenarios, in the home directory under the checkout's name.
    once = {"create", "prepare", "destroy"}
    for path in CHECKOUT.glob("molecule/*/molecule.yml"):
        if path.parent.name != "default":
            sequence = (load(path) or {}).get("scenario", {}).get("test_sequence", [])
            assert once.isdisjoint(sequence), path.parent.name
