"""Names and values of Actions variables."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.variables import (
    MOST_BYTES,
    same_value,
    value_text,
    variable_name,
)
from hypothesis import given
from hypothesis import strategies as st

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
STRUCTURES = st.lists(TREES, max_size=4) | st.dictionaries(st.text(), TREES, max_size=4)


def encodable(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@given(STRUCTURES.filter(encodable))
def test_value_text_is_canonical_json_of_a_structure(value: Any) -> None:
    text = value_text(value)
    assert json.loads(text) == value
    assert value_text(json.loads(text)) == text
    assert same_value(value, text)
    assert same_value(value, json.dumps(value, indent=3))
    assert not same_value([*value, "more"] if isinstance(value, list) else {**value, "new key": 1}, text)


@pytest.mark.parametrize(
    ("wanted", "stored", "same"),
    [
        ("1", "1", True),
        ("1", "1 ", False),
        ('{"a": 1}', '{"a":1}', False),
        ({"a": 1}, '{"a": 1}', True),
        ({"a": 1}, "not JSON", False),
        ([1], "NaN", False),
    ],
)
def test_same_value_compares_texts_and_structures(wanted: Any, stored: str, same: bool) -> None:
    assert same_value(wanted, stored) is same


def test_value_text_rejects_more_than_most_bytes() -> None:
    assert len(value_text("ü" * (MOST_BYTES // 2)).encode()) == MOST_BYTES
    with pytest.raises(CiError, match="49153 bytes"):
        value_text("ü" * (MOST_BYTES // 2) + "x")


@pytest.mark.parametrize("value", [1, 1.5, True, None, {"a": float("nan")}, {"a": {1, 2}}])
def test_value_text_rejects_values_with_several_spellings(value: Any) -> None:
    with pytest.raises(CiError, match="put it in quotes"):
        value_text(value)


@pytest.mark.parametrize("name", ["", "1A", "A-B", "github_x", "Ä", "A B", "A\n"])
def test_variable_name_rejects_what_github_rejects(name: str) -> None:
    with pytest.raises(CiError, match="cannot be the name"):
        variable_name(name)


def test_variable_name_is_upper_case() -> None:
    assert variable_name("_runs_on2") == "_RUNS_ON2"
