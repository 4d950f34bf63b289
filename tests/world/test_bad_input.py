"""Mistakes in the input: a helpful sentence each, and no change of the host."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import WORLD, Play

MODEL = {
    "name": "vosk-model-mistake",
    "url": f"{WORLD.mirror_url}/vosk/models/vosk-model-small-en-us-0.15.zip",
}
#: A port of the testbed's address that is closed.
NOBODY = f"http://{WORLD.gateway}:9"
SHA256 = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"

MISTAKES: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    # name: (tag to run, variables with the mistake, what the message must say)
    "misspelt input": (
        "vosk_models",
        {"vosk_models_modles": []},
        ["vosk_models_modles", "did you mean 'vosk_models_models'"],
    ),
    "wrong type": ("github_runner", {"github_runner_instances": "laptop"}, ["unable to convert to dict"]),
    "unknown key": (
        "vosk_models",
        {"vosk_models_models": [{**MODEL, "sha256": SHA256, "sha": "x"}]},
        ["unknown key vosk_models_models.sha"],
    ),
    "no checksum": (
        "vosk_models",
        {"vosk_models_models": [MODEL]},
        ["vosk-model-mistake", "it has no sha256"],
    ),
    "placeholder checksum": (
        "vosk_models",
        {"vosk_models_models": [{**MODEL, "sha256": "a1b2c3d4e5f6" * 5 + "a1b2"}]},
        ["vosk-model-mistake", "placeholder"],
    ),
    "wrong checksum": (
        "vosk_models",
        {"vosk_models_models": [{**MODEL, "sha256": SHA256}]},
        ["vosk-model-mistake", SHA256],
    ),
    "unreachable mirror": (
        "vosk_models",
        {"vosk_models_models": [{**MODEL, "sha256": SHA256, "url": f"{NOBODY}/model.zip"}]},
        ["vosk-model-mistake", NOBODY],
    ),
    "refused token": ("github_runner", {"github_runner_token": "wrong-token"}, ["401", "Coldaine/ColdVox"]),
    "GitHub away": ("github_runner", {"github_runner_url": f"{NOBODY}/Coldaine/ColdVox"}, [NOBODY]),
    "unknown package": (
        "system_packages",
        {"system_packages_extra": ["no-such-package"]},
        ["no-such-package"],
    ),
    # Fedora retired it in release 34.
    "retired package": (
        "system_packages",
        {"system_packages_extra": ["xorg-x11-utils"]},
        ["The repositories of laptop-extra have no package xorg-x11-utils;"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_bad_input_is_reported_in_one_sentence(play: Play, mistake: str) -> None:
    tag, variables, expected = MISTAKES[mistake]
    outcome = play("-l", "laptop-extra", "--tags", tag, "-e", json.dumps(variables))
    assert outcome.status != 0
    assert "laptop-extra" in outcome.output
    for words in expected:
        assert words in outcome.sentence
    assert "Traceback" not in outcome.output
    assert "wrong-token" not in outcome.output


def test_bad_input_leaves_the_host_unchanged(play: Play) -> None:
    outcome = play("-l", "laptop-extra")
    assert outcome.status == 0, outcome.output[-4000:]
    assert outcome.changed == {"laptop-extra": 0}
