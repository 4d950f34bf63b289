"""Names, accounts and units of instances."""

from __future__ import annotations

import re

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.runner.layout import (
    check_distinct,
    check_name,
    instance_unit,
    instance_user,
)
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"[A-Za-z0-9._][A-Za-z0-9._-]{0,63}", fullmatch=True).filter(
    lambda name: name not in (".", "..")
)


@pytest.mark.parametrize("name", ["a", "laptop-extra", "A.b_c-9", "x" * 64])
def test_check_name_accepts_good_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "x" * 65, "a b", "a/b", "..", ".", "ä", "a\n", "a@b"])
def test_check_name_rejects_bad_names(name: str) -> None:
    with pytest.raises(CiError, match="1 to 64"):
        check_name(name)


@given(NAMES)
def test_instance_user_is_a_valid_account_name(name: str) -> None:
    user = instance_user(name)
    assert re.fullmatch(r"ci-[a-z0-9-]+", user)
    assert len(user) <= 31


@given(NAMES, NAMES)
def test_instance_user_differs_between_names(first: str, second: str) -> None:
    assert (instance_user(first) == instance_user(second)) == (first == second)


@pytest.mark.parametrize(
    ("name", "user"),
    [
        ("laptop-extra", "ci-laptop-extra"),
        ("a" * 28, "ci-" + "a" * 28),
        ("a" * 29, "ci-" + "a" * 21 + "-6913c9"),
        ("Big.Box", "ci-big-box-d4b456"),
        ("_._", "ci-ef8b8f"),
    ],
)
def test_instance_user_never_changes(name: str, user: str) -> None:
    assert instance_user(name) == user


def test_instance_unit_holds_the_name() -> None:
    assert instance_unit("a.b-c") == "coldvox-runner@a.b-c.service"


def test_check_distinct_rejects_names_equal_without_case() -> None:
    check_distinct(["a", "b"])
    for names in (["a", "a"], ["Box", "box"]):
        with pytest.raises(CiError, match="used twice"):
            check_distinct(names)
