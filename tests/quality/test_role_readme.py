"""The generator of the README tables, on a role of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import role_readme

SPECS = """
argument_specs:
  main:
    short_description: Keeps cats
    options: &options
      cats_kinds:
        description: ["Which O(cats_kinds) to keep, see U(https://cats.invalid)."]
        type: list
        elements: dict
        required: true
        options:
          name:
            description: One of V(a|b).
            type: str
            choices: [a, b]
      cats_toys:
        description: Toys.
        type: dict
        default: {}
  remove:
    short_description: Frees them.
    options: *options
"""
EXPECTED = r"""# cats

<!-- BEGIN_ARGUMENT_SPECS -->

## Entry point `main`

Keeps cats.

| input | type | default | |
|---|---|---|---|
| `cats_kinds` | list of dict | required | Which `cats_kinds` to keep, see <https://cats.invalid>. |
| `cats_kinds[].name` | str |  | One of `a\|b`.<br>One of `a`, `b`. |
| `cats_toys` | dict | `{}` | Toys. |

## Entry point `remove`

Frees them.

Its inputs are those of `main`.

<!-- END_ARGUMENT_SPECS -->

by hand
"""


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    path = tmp_path / "roles/cats/README.md"
    (path.parent / "meta").mkdir(parents=True)
    (path.parent / "meta/argument_specs.yml").write_text(SPECS, encoding="utf-8")
    path.write_text(f"# cats\n\n{role_readme.BEGIN}\nold\n{role_readme.END}\n\nby hand\n", encoding="utf-8")
    return path


def test_role_readme_table_replaces_only_the_text_between_the_markers(readme: Path, tmp_path: Path) -> None:
    assert list(role_readme.readmes(tmp_path)) == [readme]
    assert role_readme.filled(readme) == EXPECTED


def test_role_readme_filled_twice_is_unchanged(readme: Path) -> None:
    readme.write_text(role_readme.filled(readme), encoding="utf-8")
    assert role_readme.filled(readme) == EXPECTED


def test_role_readme_without_markers_is_refused(readme: Path) -> None:
    readme.write_text("# cats\n", encoding="utf-8")
    with pytest.raises(role_readme.MarkersMissingError, match="BEGIN_ARGUMENT_SPECS"):
        role_readme.filled(readme)


def test_role_readme_refers_to_a_long_default() -> None:
    options = {"x": {"description": "X.", "type": "list", "default": ["a" * 80]}}
    shown = role_readme.rendered({"main": {"short_description": "S", "options": options}})
    assert "see `defaults/main.yml`" in shown
