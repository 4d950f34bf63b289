"""What a crash leaves in the records of cargo. test_rust_toolchain.py has the same with the real rustup."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.rust import whole

CRATES = """[v1]
"cargo-audit 0.20.1 (registry+https://github.com/rust-lang/crates.io-index)" = ["cargo-audit"]
"cargo-nextest 0.9.92 (registry+https://github.com/rust-lang/crates.io-index)" = ["cargo-nextest", "cn"]
"""
BOTH = {"cargo-audit": "0.20.1", "cargo-nextest": "0.9.92"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    for name in ("cargo-audit", "cargo-nextest", "cn"):
        (tmp_path / "bin" / name).write_bytes(b"\x7fELF")
    (tmp_path / ".crates.toml").write_text(CRATES)
    (tmp_path / ".crates2.json").write_text('{"installs":{}}')
    return tmp_path


def test_tools_are_those_that_cargo_has_recorded(home: Path) -> None:
    assert whole.tools(str(home)) == BOTH
    assert whole.tools(f"{home}/none") == {}


@pytest.mark.parametrize("content", [None, b"", bytes(9000)], ids=["missing", "empty", "NUL bytes"])
def test_tools_without_each_of_their_programs_do_not_count(home: Path, content: bytes | None) -> None:
    (home / "bin/cn").unlink()
    if content is not None:
        (home / "bin/cn").write_bytes(content)
    assert whole.tools(str(home)) == {"cargo-audit": "0.20.1"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".crates.toml", bytes(300)),
        (".crates.toml", CRATES.encode()[:120] + bytes(100)),
        (".crates.toml", b"crates"),
        (".crates2.json", bytes(300)),
        (".crates2.json", b'{"installs":'),
        (".crates2.json", b"[]"),
    ],
)
def test_records_at_which_cargo_fails_are_forgotten(home: Path, name: str, content: bytes) -> None:
    """rust-lang/cargo issue 2836: the file system gives back a file of NUL bytes."""
    (home / name).write_bytes(content)
    assert whole.tools(str(home)) == {}
    whole.forget_damaged_records(f"{home}/rustup", str(home))
    assert not (home / ".crates.toml").exists()
    assert not (home / ".crates2.json").exists()


@pytest.mark.parametrize("name", [".crates.toml", ".crates2.json"])
def test_empty_records_are_no_damage(home: Path, name: str) -> None:
    """cargo itself takes an empty file for a new one (ops/common_for_install_and_uninstall.rs)."""
    (home / name).write_bytes(b"")
    whole.forget_damaged_records(f"{home}/rustup", str(home))
    assert (home / name).exists()
