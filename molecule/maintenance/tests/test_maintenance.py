"""Unused artifacts, which maintenance removes, and those that it keeps."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

STORE = "/var/cache/coldvox-ci-maintenance"


@pytest.mark.parametrize("name", ["pinned", "held", "fresh"])
def test_maintenance_keeps_pinned_held_and_fresh_artifacts(host: Host, name: str) -> None:
    model = host.file(f"{STORE}/models/{name}")
    assert model.is_symlink
    assert host.check_output(f"cat {STORE}/models/{name}/*") == name


def test_maintenance_removes_unused_artifacts(host: Host) -> None:
    assert not host.file(f"{STORE}/models/forgotten").exists
    assert len(host.check_output(f"ls {STORE}/trees").split()) == 3
    assert host.check_output(f"find {STORE}/trash {STORE}/staging -mindepth 1") == ""


def test_maintenance_updates_manifest_and_checksums(host: Host) -> None:
    manifest = json.loads(host.file(f"{STORE}/version-manifest.json").content_string)
    assert sorted(manifest["artifacts"]) == ["fresh", "held", "pinned"]
    done = host.run(f"cd {STORE} && sha256sum --check --quiet --strict checksums.txt")
    assert done.rc == 0, done.stdout + done.stderr
