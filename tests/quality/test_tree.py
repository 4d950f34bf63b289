"""The checkout: no paths of a machine, valid inventories and links."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .conftest import Tool

CHECKOUT = Path(__file__).resolve().parents[2]
# The parts are joined here, so that this file does not match itself.
MACHINE_PATHS = re.compile(
    "|".join(
        (
            r"(?<![\w./-])/" + r"(?:work|farm)/",
            r"/home/" + r"(?!coldaine\b|runner\b|user\b)\w+/",
            # The audit rules watch root's keys.
            r"/root" + r"/\.(?!ssh\b)",
        )
    )
)

LOCAL_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def test_tree_names_no_path_of_its_authors_machine(files: list[Path]) -> None:
    named = {}
    for path in files:
        if path.name == "LICENSE":
            continue
        try:
            text = (CHECKOUT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        hits = MACHINE_PATHS.findall(text)
        if hits:
            named[str(path)] = hits
    assert named == {}


@pytest.mark.parametrize(
    "layers",
    [["inventories/production"], ["inventories/production", "inventories/sandbox"]],
    ids=["production", "sandbox over production"],
)
def test_inventory_parses_without_a_warning(tool: Tool, layers: list[str]) -> None:
    shown = tool(
        "ansible-inventory", "--list", *(word for layer in layers for word in ("--inventory", layer))
    )
    assert shown.stderr == ""
    listed = json.loads(shown.stdout)
    assert {"laptop-extra", "debian-builder"} <= set(listed["runners"]["hosts"])


def test_changelog_fragments_are_valid(tool: Tool) -> None:
    tool("antsibull-changelog", "lint")


def test_document_links_lead_to_files(files: list[Path]) -> None:
    links = [
        (path, target)
        for path in files
        if path.suffix == ".md"
        for target in LOCAL_LINK.findall((CHECKOUT / path).read_text(encoding="utf-8"))
    ]
    assert [link for link in links if not (CHECKOUT / link[0].parent / link[1]).exists()] == []
