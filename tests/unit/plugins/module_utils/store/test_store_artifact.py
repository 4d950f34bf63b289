from __future__ import annotations

import hashlib

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.store.artifact import (
    checksum_problem,
    format_of,
    parse,
    parse_all,
    public_url,
    url_problem,
)
from hypothesis import given
from hypothesis import strategies as st

GOOD = "30f26242c4eb449f948e42cb302dd7a686cb29a3423a8367f99ff41780942498"
ITEM = {"name": "m", "url": "https://example.org/m.zip", "sha256": GOOD}


@given(st.binary())
def test_checksum_problem_accepts_true_digests(data: bytes) -> None:
    if data:
        assert checksum_problem(hashlib.sha256(data).hexdigest()) == ""


@pytest.mark.parametrize(
    ("sha256", "reason"),
    [
        ("", "64 hexadecimal digits"),
        ("abc123", "has 6 characters"),
        (GOOD[:-1], "has 63 characters"),
        ("sha256:" + GOOD, "64 hexadecimal digits"),
        (GOOD[:-1] + "g", "64 hexadecimal digits"),
        ("0" * 64, "repeated pattern"),
        ("a1b2c3d4e5f6" * 5 + "a1b2", "repeated pattern"),
        ("a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8a9b0c1d2e3f4a5b6c7d8e9f0a1b2", "placeholder"),
        ("e5f6a7b8c9d0e1f2a3b4c5d6e7f8a9b0c1d2e3f4a5b6c7d8e9f0a1b2c3d4f5a6", "placeholder"),
        ("deadbeef" + GOOD[8:], "placeholder"),
        ("01" * 10 + "2" * 30 + "10" * 7, "too few different digits"),
        (hashlib.sha256(b"").hexdigest(), "empty file"),
    ],
)
def test_checksum_problem_refuses_an_invented_checksum_with_its_reason(sha256: str, reason: str) -> None:
    assert reason in checksum_problem(sha256)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.org/x", "scheme"),
        ("m.zip", "scheme"),
        ("https:///x", "host"),
        ("https://example.org:0/x", "host or port"),
        ("https://example.org:hello/x", "ort"),
        ("https://user:secret@example.org/x", "user or password"),
        ("https://example.org/a b", "spaces"),
        ("file://host/x", "file:///absolute"),
        ("file:x", "file:///absolute"),
    ],
)
def test_url_problem_refuses_a_bad_url_with_its_reason(url: str, reason: str) -> None:
    assert reason in url_problem(url)


def test_url_problem_accepts_good_urls() -> None:
    for url in ("https://example.org/x?sig=1", "http://[::1]:8080/x", "file:///tmp/x"):
        assert url_problem(url) == ""


def test_public_url_hides_the_query() -> None:
    assert public_url("https://example.org/x?token=hunter2") == "https://example.org/x?…"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://e.org/a.ZIP?x=.tar", "zip"),
        ("https://e.org/a.tar.gz", "tar"),
        ("file:///a.tgz", "tar"),
        ("https://e.org/ggml-base.bin", "file"),
        ("https://e.org/notes.gz", "file"),
    ],
)
def test_format_of_follows_the_end_of_the_path(url: str, expected: str) -> None:
    assert format_of(url) == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../x"}, ["../x", "letters, digits"]),
        ({"name": ""}, ["without a name"]),
        ({"url": []}, ["no url"]),
        ({"url": None}, ["no url"]),
        ({"url": "https://u:hunter2@e.org/x"}, ["user or password"]),
        ({"sha256": None}, ["no sha256"]),
        ({"sha256": "a1b2c3d4"}, ["has 8 characters"]),
        ({"expect": ["../x"]}, ["expect '../x'", "inside the artifact"]),
        ({"executable": ["/bin/sh"]}, ["executable '/bin/sh'"]),
        ({"expect": ["."]}, ["empty path"]),
        ({"link": "models/x"}, ["absolute path"]),
        ({"link": "/a/../b"}, ["without '..'"]),
        ({"format": "file", "strip_components": 1}, ["strip_components", "single file"]),
        ({"strip_components": -1}, ["not allowed"]),
    ],
)
def test_parse_refuses_a_bad_item_with_one_sentence(change: dict[str, object], words: list[str]) -> None:
    with pytest.raises(CiError) as caught:
        parse({**ITEM, **change})
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_parse_takes_an_upper_case_checksum() -> None:
    assert parse({**ITEM, "sha256": GOOD.upper()}).sha256 == GOOD


def test_parse_all_refuses_a_name_or_link_given_twice() -> None:
    with pytest.raises(CiError, match="'m' is given twice"):
        parse_all([ITEM, ITEM])
    with pytest.raises(CiError, match="'/l' is given twice"):
        parse_all([{**ITEM, "link": "/l"}, {**ITEM, "name": "n", "link": "/l"}])


def test_parse_all_refuses_two_shapes_of_one_content() -> None:
    with pytest.raises(CiError, match="n: it has the same sha256 as m"):
        parse_all([ITEM, {**ITEM, "name": "n", "strip_components": 1}])


def test_artifact_file_name_is_from_the_url_or_the_name() -> None:
    assert parse({**ITEM, "url": "https://e.org/x/rustup-init"}).file_name == "rustup-init"
    assert parse({**ITEM, "url": "https://e.org/x/"}).file_name == "m"
    assert parse({**ITEM, "url": "https://e.org/%2e%2e"}).file_name == "m"
