"""The runner release that GitHub offers, asked by the action plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.github.rest.call import Download
from testbed.github.server import emulator
from tests._support.runner_host import TOKEN, RunnerHost

DIGEST = "ab" * 32
FILE = "actions-runner-linux-x64-2.400.1.tar.gz"


@pytest.mark.parametrize(
    ("sha256", "architecture", "error"),
    [
        (DIGEST, "x64", ""),
        (None, "x64", "without a checksum"),
        (DIGEST, "arm64", "no Linux runner for arm64"),
    ],
)
def test_github_runner_release_returns_the_offer_of_github(
    description: Path, sha256: str | None, architecture: str, error: str
) -> None:
    offer = [Download(f"https://example.org/{FILE}", FILE, sha256)]
    with emulator(description, downloads=lambda _scope: offer) as running:
        host = RunnerHost(f"{running.url}/Coldaine/ColdVox")
        try:
            arguments = {"url": host.url, "token": TOKEN, "architecture": architecture}
            answer = host.call("coldvox.ci.github_runner_release", arguments)
        finally:
            host.close()
    if error:
        assert error in answer["msg"]
        assert "repository Coldaine/ColdVox" in answer["msg"]
        return
    offered = {key: answer[key] for key in ("version", "url", "sha256", "changed")}
    assert offered == {
        "version": "2.400.1",
        "url": f"https://example.org/{FILE}",
        "sha256": DIGEST,
        "changed": False,
    }
