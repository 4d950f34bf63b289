"""Names, accounts, labels, work directories."""

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
from ansible_collections.coldvox.ci.plugins.module_utils.runner.options import (
    Registration,
    check_architecture,
    check_work_dir,
    custom_labels,
    same_labels,
    system_labels,
)
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"[A-Za-z0-9._][A-Za-z0-9._-]{0,63}", fullmatch=True).filter(
    lambda name: name not in (".", "..")
)


@pytest.mark.parametrize("name", ["a", "laptop-extra", "A.b_c-9", "x" * 64])
def test_good_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "x" * 65, "a b", "a/b", "..", ".", "ä", "a\n", "a@b"])
def test_bad_names(name: str) -> None:
    with pytest.raises(CiError, match="1 to 64"):
        check_name(name)


@given(NAMES)
def test_every_name_has_a_valid_account(name: str) -> None:
    user = instance_user(name)
    assert re.fullmatch(r"ci-[a-z0-9-]+", user)
    assert len(user) <= 31


@given(NAMES, NAMES)
def test_two_names_never_share_an_account(one: str, other: str) -> None:
    assert (instance_user(one) == instance_user(other)) == (one == other)


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
def test_accounts_stay_the_same_between_versions(name: str, user: str) -> None:
    assert instance_user(name) == user


def test_the_unit() -> None:
    assert instance_unit("a.b-c") == "coldvox-runner@a.b-c.service"


def test_names_that_github_takes_for_one() -> None:
    check_distinct(["a", "b"])
    for names in (["a", "a"], ["Box", "box"]):
        with pytest.raises(CiError, match="used twice"):
            check_distinct(names)


def test_labels_that_come_by_themselves_are_not_asked_for() -> None:
    given_labels = ["Self-Hosted", "linux", "x64", "fedora", "Fedora", "nobara"]
    assert custom_labels(given_labels) == ("fedora", "nobara")
    assert custom_labels(["linux", "a"], default_labels=False) == ("linux", "a")


@pytest.mark.parametrize("label", ["", " a", "a ", "a,b", "x" * 257, "a\tb"])
def test_labels_that_the_runner_would_spoil(label: str) -> None:
    with pytest.raises(CiError, match="Label"):
        custom_labels([label])


def test_more_labels_than_github_takes() -> None:
    with pytest.raises(CiError, match="101 labels"):
        custom_labels([f"l{i}" for i in range(101)])


def test_sets_compare_without_case_and_order() -> None:
    assert same_labels(["A", "b"], ["B", "a"])
    assert not same_labels(["a"], ["a", "b"])


def test_architecture_labels_are_those_of_the_host() -> None:
    assert system_labels("x86_64") == ("self-hosted", "Linux", "X64")
    assert system_labels("aarch64") == ("self-hosted", "Linux", "ARM64")
    check_architecture(["x64", "fedora"], "x86_64")
    with pytest.raises(CiError, match="ARM64"):
        check_architecture(["ARM64"], "x86_64")


@pytest.mark.parametrize("path", ["_work", "/srv/ci/work"])
def test_good_work_directories(path: str) -> None:
    assert check_work_dir(path) == path


@pytest.mark.parametrize("path", ["", "/", "a/b", "../x", "/a/../b", ".", "a b", "a%i", "$HOME/x", "a\nb"])
def test_bad_work_directories(path: str) -> None:
    with pytest.raises(CiError, match="Work directory"):
        check_work_dir(path)


def test_the_fingerprint_knows_every_part() -> None:
    one = Registration(url="u", name="n")
    variants = [
        Registration(url="v", name="n"),
        Registration(url="u", name="m"),
        Registration(url="u", name="n", group="g"),
        Registration(url="u", name="n", work_dir="w"),
        Registration(url="u", name="n", ephemeral=True),
        Registration(url="u", name="n", default_labels=False),
    ]
    assert one.fingerprint == Registration(url="u", name="n").fingerprint
    assert len({one.fingerprint, *(each.fingerprint for each in variants)}) == 7
