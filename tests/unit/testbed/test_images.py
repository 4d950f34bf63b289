"""The host images: an image is rebuilt exactly when one of its inputs changes."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path

import pytest

from testbed.base_image import BaseChoice, base_choice
from testbed.docker_cli import build_reason
from testbed.errors import TestbedError
from testbed.images import IMAGES_DIR, Recipe, fedora_recipe, recipes, select_apt_settings
from testbed.rpm_catalogue import load_catalogue


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    context = tmp_path / "thing"
    (context / "files").mkdir(parents=True)
    (context / "Dockerfile").write_text("FROM x\n")
    (context / "files" / "tool").write_text("#!/bin/sh\n")
    return Recipe("thing", "base:1", arguments={"A": "1"}, extra={"list": "x\n"}, directory=tmp_path)


def test_recipe_tag_stays_while_nothing_changes(recipe: Recipe) -> None:
    assert recipe.tag == dataclasses.replace(recipe).tag
    assert recipe.tag.startswith("coldvox-testbed/thing:")


def test_recipe_tag_changes_with_every_input(recipe: Recipe) -> None:
    tags = [
        recipe.tag,
        dataclasses.replace(recipe, base="base:2").tag,
        dataclasses.replace(recipe, arguments={"A": "2"}).tag,
        dataclasses.replace(recipe, extra={"list": "y\n"}).tag,
        dataclasses.replace(recipe, extra={"other": "x\n"}).tag,
    ]
    tool = recipe.context / "files" / "tool"
    tool.write_text("#!/bin/bash\n")
    tags.append(recipe.tag)
    tool.chmod(0o755)
    tags.append(recipe.tag)
    tool.rename(tool.with_name("renamed"))
    tags.append(recipe.tag)
    assert len(set(tags)) == len(tags)


def test_recipes_have_dockerfiles_and_are_in_build_order() -> None:
    built = {"base:1"}
    for recipe in recipes("base:1", load_catalogue(), "").values():
        assert (recipe.context / "Dockerfile").is_file()
        assert recipe.base in built
        built.add(recipe.tag)


def test_fedora_recipe_shares_login_and_name_with_the_debian_one() -> None:
    recipe = fedora_recipe()
    assert (recipe.context / "Dockerfile").is_file()
    assert "ID=nobara" in recipe.extra["files/usr/lib/os-release"]
    assert "NOPASSWD" in recipe.extra["files/etc/sudoers.d/admin"]


def test_recipes_change_with_their_base() -> None:
    before = recipes("base:1", load_catalogue(), "")
    after = recipes("base:1", load_catalogue(), 'Acquire::http::Proxy "http://proxy:3128";\n')
    assert all(before[name].tag != after[name].tag for name in before)


def test_select_apt_settings_keeps_those_valid_in_a_container() -> None:
    dumped = "\n".join(
        (
            'Acquire::Check-Date "false";',
            'Acquire::http::Proxy "http://127.0.0.1:3128";',
            'Acquire::https::Proxy "http://proxy.lan:3128";',
            'Acquire::Check-Valid-Until "";',
            'APT::Get::Assume-Yes "true";',
        )
    )
    assert select_apt_settings(dumped) == (
        'Acquire::Check-Date "false";\nAcquire::https::Proxy "http://proxy.lan:3128";\n'
    )
    assert select_apt_settings("") == ""


def test_base_choice_reads_the_environment() -> None:
    assert base_choice({}) == BaseChoice("auto")
    assert base_choice({"COLDVOX_TESTBED_BASE": "registry"}).way == "registry"
    elsewhere = base_choice({"COLDVOX_TESTBED_DEBIAN_MIRROR": "http://mirror.lan/debian"})
    assert elsewhere.tag != BaseChoice().tag
    with pytest.raises(TestbedError, match="COLDVOX_TESTBED_BASE is 'podman'"):
        base_choice({"COLDVOX_TESTBED_BASE": "podman"})


def test_build_reason_is_the_line_with_the_reason() -> None:
    tail = "\x1b[91mE: Unable to locate package nano2\n\x1b[0mThe command 'x' returned a non-zero code: 100"
    assert build_reason(tail) == "E: Unable to locate package nano2"
    assert build_reason("") == "it gave no reason"


def test_hide_paths_moves_programs_and_their_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = IMAGES_DIR / "nobara-host" / "hide_paths.py"
    spec = importlib.util.spec_from_file_location("hide_paths", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "HIDDEN_ROOT", str(tmp_path / "hidden"))
    program, alias, foreign = tmp_path / "make", tmp_path / "gmake", tmp_path / "cc"
    program.write_text("make")
    alias.symlink_to("make")
    foreign.symlink_to(sys.executable)
    listing = tmp_path / "list"
    listing.write_text(f"{alias}\n{program}\n{foreign}\n")
    monkeypatch.setattr(sys, "argv", ["hide_paths.py", str(listing)])
    module.main()
    for path in (program, alias, foreign):
        assert not path.exists()
    assert Path(f"{tmp_path}/hidden{alias}").read_text() == "make"
    assert Path(f"{tmp_path}/hidden{foreign}").resolve() == Path(sys.executable).resolve()
