from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.inventory.cache_key import cache_key
from hypothesis import given
from hypothesis import strategies as st

SHA = "30f26242c4eb449f948e42cb302dd7a686cb29a3423a8367f99ff41780942498"
MODEL = {"name": "vosk-model-small-en-us-0.15", "sha256": SHA, "url": "https://example.org/model.zip"}

digests = st.text("0123456789abcdef", min_size=64, max_size=64)
names = st.text(min_size=1, max_size=40)
texts = st.lists(st.text(max_size=8), max_size=4)


def test_cache_key_has_content_and_system_with_shorter_restore_keys() -> None:
    assert cache_key(MODEL, "Linux") == {
        "key": "vosk-model-small-en-us-0.15/30f26242c4eb449f/linux",
        "restore_keys": ["vosk-model-small-en-us-0.15/30f26242c4eb449f/", "vosk-model-small-en-us-0.15/"],
    }


@given(names, digests, texts)
def test_cache_key_restore_keys_are_shorter_prefixes(name: str, digest: str, labels: list[str]) -> None:
    found = cache_key({"name": name, "sha256": digest}, "linux", labels)
    chain = [found["key"], *found["restore_keys"]]
    assert len(chain) == (4 if labels else 3)
    for longer, shorter in zip(chain, chain[1:]):
        assert longer.startswith(shorter)
        assert len(shorter) < len(longer)
    assert "," not in found["key"]
    assert found["key"].isascii()
    assert len(found["key"]) <= 512


@given(names, names, digests)
def test_cache_key_of_a_model_restores_no_other_model(one: str, other: str, digest: str) -> None:
    keys = cache_key({"name": one, "sha256": digest}, "linux")
    others = cache_key({"name": other, "sha256": digest}, "linux")
    assert others["key"].startswith(keys["restore_keys"][-1]) == (one == other)


def test_cache_key_ignores_order_and_case_of_labels() -> None:
    same = [["nobara", "X64"], ["x64", "NOBARA"], ("X64", "nobara", "Nobara")]
    assert len({cache_key(MODEL, "linux", labels)["key"] for labels in same}) == 1
    others: list[list[str]] = [[], ["nobara"], ["x64"], ["nobarax64"], ["nobara", "x64", "fedora"]]
    assert len({cache_key(MODEL, "linux", labels)["key"] for labels in [same[0], *others]}) == 6


@pytest.mark.parametrize("changed", [{"name": "other"}, {"sha256": "0" * 63 + "1"}])
def test_cache_key_changes_with_the_content(changed: dict[str, str]) -> None:
    assert cache_key({**MODEL, **changed}, "linux")["key"] != cache_key(MODEL, "linux")["key"]
    assert cache_key({**MODEL, "sha256": SHA.upper()}, "linux") == cache_key(MODEL, "linux")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("vosk", "no 'name'"),
        ({}, "no 'name'"),
        ({"name": "x"}, "no 'sha256'"),
        ({"name": "x", "sha256": 3}, "no 'sha256'"),
        ({"name": "x", "sha256": "a1b2c3d4e5f6"}, "of the model 'x' is not 64 hexadecimal digits"),
        ({"name": "x" * 500, "sha256": SHA}, "longer than 512"),
    ],
)
def test_cache_key_refuses_a_bad_model(model: Any, message: str) -> None:
    with pytest.raises(CiError, match=message):
        cache_key(model, "linux")
