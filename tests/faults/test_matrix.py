"""The table of faults: complete, with tests that exist, and equal to its document."""

from __future__ import annotations

import ast

import pytest

from tests.faults.matrix import CHECKOUT, DOCUMENT, FAULTS, PLACES, document, located


def test_matrix_names_a_test_for_every_fault() -> None:
    assert list(FAULTS) == list(range(1, 46))
    assert all(fault.tests for fault in FAULTS.values())


@pytest.mark.parametrize("place", PLACES)
def test_matrix_names_only_tests_that_exist(place: str) -> None:
    module = ast.parse((CHECKOUT / PLACES[place]).read_text(encoding="utf-8"))
    there = {node.name for node in module.body if isinstance(node, ast.FunctionDef)}
    named = {
        located(test)[1] for fault in FAULTS.values() for test in fault.tests if test.startswith(f"{place}:")
    }
    assert named <= there
    if "tests/faults" in PLACES[place]:
        assert {name for name in there if name.startswith("test_")} == named


def test_matrix_equals_its_document() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document()
