"""Releases on a host: compiled, and only as many as are needed."""

from __future__ import annotations

import importlib.util
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.release import settle
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """Three releases; the name tells the order in which they were made."""
    for age, name in enumerate(("c", "b", "a")):
        package = tmp_path / "releases" / name / "coldvox_ci"
        package.mkdir(parents=True)
        (package / "x.py").write_text("VALUE = 1\n")
        os.utime(package.parent, (1_000_000 - age, 1_000_000 - age))
    return tmp_path / "releases"


def test_settle_keeps_the_previous_release(releases: Path) -> None:
    assert settle(str(releases / "c")) == ["a"]
    assert sorted(os.listdir(releases)) == ["b", "c"]
    assert settle(str(releases / "c")) == []


def test_settle_of_an_older_release_keeps_the_newest(releases: Path) -> None:
    assert settle(str(releases / "a")) == ["b"]
    assert sorted(os.listdir(releases)) == ["a", "c"]


def test_settle_makes_readable_bytecode_without_source_check(releases: Path) -> None:
    before = os.umask(0o077)
    try:
        settle(str(releases / "c"))
    finally:
        os.umask(before)
    source = releases / "c/coldvox_ci/x.py"
    cached = Path(importlib.util.cache_from_source(str(source)))
    assert stat.S_IMODE(cached.stat().st_mode) == 0o644
    assert stat.S_IMODE(cached.parent.stat().st_mode) == 0o755
    # PEP 552: bit 0 for a hash instead of a time, bit 1 for a check of the source.
    assert cached.read_bytes()[4:8] == b"\x01\x00\x00\x00"


def test_settle_refuses_a_directory_that_is_not_a_release(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    (tmp_path / "precious").mkdir()
    with pytest.raises(CiError, match="is not an installed release"):
        settle(str(tmp_path / "checkout"))
    assert (tmp_path / "precious").is_dir()
