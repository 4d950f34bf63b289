from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.inventory.vosk import (
    libvosk_artifacts,
    libvosk_registry,
    vosk_model_artifacts,
)

RELEASES = {
    "0.3.45": {
        "x86_64": {"url": "https://x/intel.zip", "sha256": "a" * 64},
        "aarch64": {"url": "https://x/arm.zip", "sha256": "b" * 64},
    }
}
KNOWN = {"small": {"url": "https://x/small.zip", "sha256": "c" * 64}}


def libraries(versions: Any, default: str = "0.3.45", architecture: str = "x86_64") -> list[dict[str, Any]]:
    return libvosk_artifacts(versions, default, "/opt/libvosk", RELEASES, architecture)


@pytest.mark.parametrize(("architecture", "url"), [("x86_64", "intel.zip"), ("aarch64", "arm.zip")])
def test_libvosk_artifacts_fit_the_architecture(architecture: str, url: str) -> None:
    [artifact] = libraries([{"version": "0.3.45"}], architecture=architecture)
    assert artifact["url"] == f"https://x/{url}"
    assert artifact["link"] == "/opt/libvosk/0.3.45"
    assert artifact["strip_components"] == 1
    assert artifact["expect"] == ["libvosk.so", "vosk_api.h"]


def test_libvosk_artifacts_pin_only_the_default() -> None:
    own = {"version": "0.3.50", "url": ["https://y/a.zip", "https://y/b.zip"], "sha256": "d" * 64}
    artifacts = libraries([{"version": "0.3.45"}, own], default="0.3.50")
    assert [(one["name"], one["pinned"]) for one in artifacts] == [
        ("libvosk-0.3.45", False),
        ("libvosk-0.3.50", True),
    ]
    assert artifacts[1]["url"] == own["url"]


def test_libvosk_artifacts_do_not_mix_url_and_checksum() -> None:
    [artifact] = libraries([{"version": "0.3.45", "url": "https://y/a.zip"}])
    assert artifact["url"] == "https://y/a.zip"
    assert "sha256" not in artifact


def test_libvosk_artifacts_leave_an_unknown_version_without_a_source() -> None:
    [artifact] = libraries([{"version": "0.4"}])
    assert not artifact.keys() & {"url", "sha256"}


def test_libvosk_registry_has_default_and_paths() -> None:
    assert libvosk_registry([{"version": "1"}, {"version": "2"}], "2", "/opt/v") == {
        "default": "2",
        "versions": {"1": {"path": "/opt/v/1"}, "2": {"path": "/opt/v/2"}},
    }


def test_vosk_model_artifacts_strip_an_archive_and_expect_a_model() -> None:
    [artifact] = vosk_model_artifacts([{"name": "small", "pinned": True}], "/models", KNOWN)
    assert artifact == {
        "name": "small",
        "kind": "model",
        "url": "https://x/small.zip",
        "sha256": "c" * 64,
        "format": "auto",
        "strip_components": 1,
        "expect": ["am/final.mdl|final.mdl", "conf/model.conf|mfcc.conf"],
        "pinned": True,
        "link": "/models/small",
    }


def test_vosk_model_artifacts_keep_other_files_unchanged() -> None:
    model = {"name": "ggml-base", "url": "https://y/ggml-base.bin?download=true", "sha256": "d" * 64}
    [artifact] = vosk_model_artifacts([model], "", KNOWN)
    assert (artifact["format"], artifact["strip_components"], artifact["expect"]) == ("file", 0, [])
    assert "link" not in artifact


def test_vosk_model_artifacts_take_expect_and_link() -> None:
    model = {"name": "small", "expect": ["final.mdl"], "link": "/srv/small"}
    [artifact] = vosk_model_artifacts([model], "/models", KNOWN)
    assert (artifact["expect"], artifact["link"]) == (["final.mdl"], "/srv/small")


@pytest.mark.parametrize(
    "model",
    [
        {"name": "big", "url": "https://y/big.zip"},
        {"name": "big", "sha256": "e" * 64},
        {"name": "small", "url": "https://y/other.zip"},
        {"name": "big"},
    ],
)
def test_vosk_model_artifacts_invent_no_values(model: dict[str, Any]) -> None:
    [artifact] = vosk_model_artifacts([model], "", KNOWN)
    assert {key: artifact.get(key) for key in ("url", "sha256")} == {
        key: model.get(key) for key in ("url", "sha256")
    }
