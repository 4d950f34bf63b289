"""The table of inputs in each role's README, written from its argument specs.

``role_readme.py --write`` fills it in; without the option it names the files that differ and fails.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[1]
BEGIN = "<!-- BEGIN_ARGUMENT_SPECS -->"
END = "<!-- END_ARGUMENT_SPECS -->"
# A longer default is not shown: the README refers to defaults/main.yml.
LONGEST_DEFAULT = 60

# Ansible's semantic markup: option, value, return value, environment, code, module, plugin.
_CODE = re.compile(r"\b(?:O|V|RV|E|C|M|P)\(([^)]*)\)")
_LINK = re.compile(r"\bU\(([^)]*)\)")
_BOLD = re.compile(r"\bB\(([^)]*)\)")


class MarkersMissingError(Exception):
    """A README has no place for the table."""


def readmes(checkout: Path = CHECKOUT) -> Iterator[Path]:
    """Yield the path of the README of every role that has argument specs."""
    for specs in sorted(checkout.glob("roles/*/meta/argument_specs.yml")):
        yield specs.parents[1] / "README.md"


def filled(readme: Path) -> str:
    """Return the text that ``readme`` should have; raises MarkersMissingError."""
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise MarkersMissingError(f"{readme} needs the lines {BEGIN} and {END} where its inputs belong.")
    specs = yaml.safe_load((readme.parent / "meta/argument_specs.yml").read_text(encoding="utf-8"))
    return f"{before}{BEGIN}\n{rendered(specs['argument_specs'])}{END}{after}"


def rendered(entry_points: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the Markdown of all entry points.

    An entry point with the inputs of an earlier entry point refers to it.
    """
    parts = []
    shown: dict[str, Mapping[str, Any]] = {}
    for name, spec in entry_points.items():
        options = spec.get("options", {})
        parts += [f"## Entry point `{name}`", f"{_sentence(spec['short_description'])}"]
        same = next((earlier for earlier, other in shown.items() if other == options), None)
        if same:
            parts.append(f"Its inputs are those of `{same}`.")
        elif options:
            parts.append("\n".join(["| input | type | default | |", "|---|---|---|---|", *_rows(options)]))
        shown.setdefault(name, options)
    return "\n" + "\n\n".join(parts) + "\n\n"


def _rows(options: Mapping[str, Mapping[str, Any]], prefix: str = "") -> Iterator[str]:
    for name, option in options.items():
        kind = option.get("type", "str")
        elements = f" of {option['elements']}" if "elements" in option else ""
        yield f"| `{prefix}{name}` | {kind}{elements} | {_default(option)} | {_description(option)} |"
        inner = f"{prefix}{name}[]." if kind == "list" else f"{prefix}{name}."
        yield from _rows(option.get("options", {}), inner)


def _default(option: Mapping[str, Any]) -> str:
    if option.get("required"):
        return "required"
    if "default" not in option:
        return ""
    value = option["default"]
    text = value if isinstance(value, str) and value else json.dumps(value)
    return f"`{_cell(text)}`" if len(text) <= LONGEST_DEFAULT else "see `defaults/main.yml`"


def _description(option: Mapping[str, Any]) -> str:
    described = option["description"]
    paragraphs = [described] if isinstance(described, str) else list(described)
    if "choices" in option:
        paragraphs.append("One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + ".")
    return _cell("<br>".join(markdown(str(paragraph)) for paragraph in paragraphs))


def markdown(text: str) -> str:
    """Return Ansible's markup in ``text`` as Markdown."""
    return _BOLD.sub(r"**\1**", _LINK.sub(r"<\1>", _CODE.sub(r"`\1`", text)))


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """Write the tables, or say which differ."""
    stale = [readme for readme in readmes() if filled(readme) != readme.read_text(encoding="utf-8")]
    for readme in stale:
        if "--write" in arguments:
            readme.write_text(filled(readme), encoding="utf-8")
        print(f"{'written' if '--write' in arguments else 'differs'}: {readme.relative_to(CHECKOUT)}")
    return int(bool(stale) and "--write" not in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
