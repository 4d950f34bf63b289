"""Which runner GitHub means, asked by the action as a user does."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.github.rest.call import Download
from testbed.github.server import emulator
from tests._support.runner_host import TOKEN, RunnerHost

DIGEST = "ab" * 32
FILE = "actions-runner-linux-x64-2.400.1.tar.gz"


@pytest.mark.parametrize(
    ("sha256", "architecture", "trouble"),
    [
        (DIGEST, "x64", ""),
        (None, "x64", "without a checksum"),
        (DIGEST, "arm64", "no Linux runner for arm64"),
    ],
)
def test_what_github_offers(description: Path, sha256: str | None, architecture: str, trouble: str) -> None:
    offer = [Download(f"https://example.org/{FILE}", FILE, sha256)]
    with emulator(description, downloads=lambda _scope: offer) as running:
        host = RunnerHost(f"{running.url}/Coldaine/ColdVox")
        try:
            arguments = {"url": host.url, "token": TOKEN, "architecture": architecture}
            answer = host.call("coldvox.ci.github_runner_release", arguments)
        finally:
            host.close()
    if trouble:
        assert trouble in answer["msg"]
        assert "repository Coldaine/ColdVox" in answer["msg"]
        return
    found = {key: answer[key] for key in ("version", "url", "sha256", "changed")}
    assert found == {
        "version": "2.400.1",
        "url": f"https://example.org/{FILE}",
        "sha256": DIGEST,
        "changed": False,
    }
