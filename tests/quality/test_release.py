"""Refuse a release if tag, galaxy.yml, changelog and README do not agree."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.release import refusals

AGREED: dict[str, Any] = {
    "tag": "v1.2.0",
    "version": "1.2.0",
    "released": ["1.1.0", "1.2.0"],
    "fragments": [],
    "readme": "install coldvox-ci-1.2.0.tar.gz",
}


def test_release_is_built_when_all_agree() -> None:
    assert refusals(**AGREED) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tag": "v1.3.0"}, "The tag is 'v1.3.0', but galaxy.yml has version 1.2.0."),
        ({"tag": "1.2.0"}, "The tag is '1.2.0'"),
        ({"released": ["1.1.0"]}, "The changelog has no release 1.2.0."),
        ({"fragments": ["b.yml", "a.yml"]}, "No release has the fragments a.yml, b.yml."),
        ({"readme": "install coldvox-ci-1.1.0.tar.gz"}, "README.md does not name coldvox-ci-1.2.0.tar.gz."),
    ],
)
def test_release_is_refused_where_one_disagrees(change: dict[str, Any], said: str) -> None:
    (sentence,) = refusals(**{**AGREED, **change})
    assert sentence.startswith(said)
