"""Error messages: a capital letter at the start and a full stop at the end."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
ERRORS = {"CiError", "ArgumentTypeError", "AnsibleActionFail", "AnsibleFilterError", "AnsibleLookupError"}
# Their message is a clause of another error's sentence, so users never see it alone.
REASONS = {"RecordError", "ArchiveError"}
METHODS = {"fail_json", "error"}  # of an Ansible module and of a parser of arguments
VALUE = "\0"
# A capital letter, a value, a quoted name, a path, an option or a name that only code has, as run_id.
BEGINNING = re.compile(r"[A-Z\0'\"/]|--\w|\w+[_./]\w")
# A value at the end may hold a whole sentence, unless it is in the middle of another.
END = re.compile(r"[.?!]['\")]?$|(?:^|[.:] )\0$")


def error_classes(trees: list[ast.Module]) -> set[str]:
    """Return the names of ERRORS and of their subclasses, without REASONS."""
    bases = {
        node.name: {getattr(base, "attr", getattr(base, "id", "")) for base in node.bases}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    names = set(ERRORS)
    while derived := {name for name, parents in bases.items() if parents & names} - names:
        names |= derived
    return names - REASONS


def text_of(node: ast.expr) -> str:
    """Return the text of ``node``, with VALUE for each part known only at run time."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(text_of, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text_of(node.left) + text_of(node.right)
    return VALUE


def messages(tree: ast.Module, errors: set[str]) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each message."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            is_method = isinstance(node.func, ast.Attribute) and called in METHODS
            given = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "msg")]
            if given and (called in errors or is_method):
                yield node.lineno, text_of(given[-1])


def faults(tree: ast.Module, errors: set[str]) -> list[str]:
    """Return the line, the fault and the text of each message that is not a sentence."""
    return [
        f"{line}: {fault}: {text.replace(VALUE, '{}')}"
        for line, text in messages(tree, errors)
        for fault, form in (("no capital letter", BEGINNING.match), ("no full stop", END.search))
        if not form(text)
    ]


def test_error_messages_are_sentences() -> None:
    trees = {
        path.relative_to(CHECKOUT): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((CHECKOUT / "plugins").rglob("*.py"))
    }
    errors = error_classes(list(trees.values()))
    wrong = [f"{path}:{fault}" for path, tree in trees.items() for fault in faults(tree, errors)]
    assert not wrong, f"{len(wrong)} messages\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ('CiError("Path is missing; give it.")', []),
        ('CiError(f"{path} is missing; give it.")', []),
        ('CiError(f"{path} is missing: {inner}")', []),
        ('CiError("work_dir is missing; give it.")', []),
        ('CiError("path is missing; give it.")', ["no capital letter"]),
        ('CiError("Path is missing")', ["no full stop"]),
        ('CiError(f"Path is not {path}")', ["no full stop"]),
        ('CiError("Path is missing; " + remedy)', ["no full stop"]),
        ("CiError(str(error))", []),
        ('module.fail_json(msg="no")', ["no capital letter", "no full stop"]),
        ('OtherError("no")', ["no capital letter", "no full stop"]),
        ('ValueError("no")', []),
    ],
)
def test_error_message_without_capital_or_full_stop_is_a_fault(call: str, expected: list[str]) -> None:
    tree = ast.parse(f"class OtherError(CiError): ...\nraise {call}")
    assert [fault.split(": ")[1] for fault in faults(tree, error_classes([tree]))] == expected
