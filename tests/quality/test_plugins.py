"""Plugins: documented, small, and in the action group they belong to."""

from __future__ import annotations

import ast
import io
import json
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import Tool

CHECKOUT = Path(__file__).resolve().parents[2]
MOST_MODULE_LINES = 150
MOST_FILE_LINES = 400
# Modules of the standard library that Python 3.9, the oldest on hosts, does not have. A module that was
# removed since is refused when the tests run with a newer Python: it is not in sys.stdlib_module_names then.
NEWER_MODULES = {
    *("annotationlib", "asyncio.taskgroups", "asyncio.timeouts", "compression", "concurrent.interpreters"),
    *("importlib.resources.abc", "pathlib.types", "string.templatelib", "tomllib", "wsgiref.types"),
}
ON_EVERY_HOST = sys.stdlib_module_names | {"psutil"}
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def names(kind: str) -> list[str]:
    return sorted(path.stem for path in (CHECKOUT / "plugins" / kind).glob("[!_]*.py"))


MODULES = names("modules")
FILTERS = names("filter")


@pytest.fixture(scope="session")
def documentation(tool: Tool) -> dict[str, dict[str, Any]]:
    """Return what ansible-doc reads, fragments resolved, by name of module or filter."""
    documents: dict[str, dict[str, Any]] = {}
    for kind, plugins in (("module", MODULES), ("filter", FILTERS)):
        shown = tool("ansible-doc", "--json", "--type", kind, *(f"coldvox.ci.{name}" for name in plugins))
        documents.update(
            {name.rpartition(".")[2]: plugin for name, plugin in json.loads(shown.stdout).items()}
        )
    return documents


@pytest.mark.parametrize("name", MODULES + FILTERS)
def test_plugin_is_documented_with_examples(name: str, documentation: dict[str, dict[str, Any]]) -> None:
    plugin = documentation[name]
    assert plugin["doc"]["short_description"]
    assert plugin["doc"]["version_added"]
    assert f"coldvox.ci.{name}" in plugin["examples"]
    assert plugin["return"] is not None, "document the returned values, also when there are none"


@pytest.mark.parametrize("name", MODULES)
def test_module_states_its_support_for_check_mode_diff_and_idempotence(
    name: str, documentation: dict[str, dict[str, Any]]
) -> None:
    attributes = documentation[name]["doc"]["attributes"]
    for attribute in ("check_mode", "diff_mode", "idempotent"):
        assert attributes[attribute]["support"] in ("full", "partial", "none", "N/A")
        assert attributes[attribute]["description"]


def action_group() -> list[str]:
    runtime = yaml.safe_load((CHECKOUT / "meta/runtime.yml").read_text(encoding="utf-8"))
    group: list[str] = runtime["action_groups"]["github"]
    return group


def test_action_group_holds_the_github_modules_in_order() -> None:
    assert action_group() == [name for name in MODULES if name.startswith("github_")]


@pytest.mark.parametrize("name", MODULES)
def test_module_states_whether_it_is_in_the_action_group(
    name: str, documentation: dict[str, dict[str, Any]]
) -> None:
    stated = documentation[name]["doc"]["attributes"].get("action_group", {}).get("membership", [])
    assert ("coldvox.ci.github" in stated) is (name in action_group())


def code_lines(source: str) -> int:
    """Count the lines of code, without comments, blank lines and lone strings."""
    texts = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Expr, ast.Assign))
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return len({token.start[0] for token in tokens if token.type not in NOT_CODE} - texts)


def test_code_lines_exclude_texts_and_comments() -> None:
    assert code_lines('"""Doc."""\n\nA = """x\ny\n"""\n# no\nb = [\n    1,\n]\n') == 3


@pytest.mark.parametrize("name", MODULES)
def test_module_is_short(name: str) -> None:
    source = (CHECKOUT / f"plugins/modules/{name}.py").read_text(encoding="utf-8")
    assert code_lines(source) <= MOST_MODULE_LINES


def test_python_files_are_not_too_long(files: list[Path]) -> None:
    lengths = {
        str(path): len((CHECKOUT / path).read_text(encoding="utf-8").splitlines())
        for path in files
        if path.suffix == ".py"
    }
    assert {name: lines for name, lines in lengths.items() if lines > MOST_FILE_LINES} == {}


def imported(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the level and full name of everything that is imported at run time."""
    children = ast.iter_child_nodes(node)
    if isinstance(node, ast.Import):
        yield from ((0, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from ((node.level, f"{node.module or ''}.{alias.name}") for alias in node.names)
    elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        children = iter(node.orelse)
    for child in children:
        yield from imported(child)


def foreign_imports(library: Path) -> dict[str, list[str]]:
    """Return imports below ``library`` that a host may lack, by relative path."""
    foreign: dict[str, list[str]] = {}
    for path in sorted(library.rglob("*.py")):
        relative = path.relative_to(library)
        for level, name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            parts = name.split(".")
            beginnings = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
            inside = 0 < level <= len(relative.parts)
            on_every_host = level == 0 and parts[0] in ON_EVERY_HOST and not beginnings & NEWER_MODULES
            if not inside and not on_every_host:
                foreign.setdefault(str(relative), []).append("." * level + name)
    return foreign


def test_library_imports_only_itself_the_standard_library_and_psutil() -> None:
    """Check it because hosts also have the library alone, without Ansible."""
    assert foreign_imports(CHECKOUT / "plugins/module_utils") == {}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os, requests", ["requests"]),
        ("import yaml.nodes", ["yaml.nodes"]),
        ("from ansible.errors import AnsibleError", ["ansible.errors.AnsibleError"]),
        ("def f():\n    try:\n        import tomllib\n    except ImportError: ...", ["tomllib"]),
        ("from concurrent import futures, interpreters", ["concurrent.interpreters"]),
        ("from ... import secret", ["....secret"]),
        ("if TYPE_CHECKING:\n    import requests\nelse:\n    import attr", ["attr"]),
        ("from __future__ import annotations\nimport os.path, psutil", []),
        ("from .. import errors\nfrom ..host.files import write", []),
    ],
)
def test_library_import_of_a_foreign_module_is_refused(
    tmp_path: Path, source: str, expected: list[str]
) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room/door.py").write_text(source, encoding="utf-8")
    assert foreign_imports(tmp_path) == ({"room/door.py": expected} if expected else {})
