"""The module with the real rustup and a real server; toolchains are stand-ins."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock

from testbed.mirror import stubs
from testbed.mirror.server import MirrorServer
from tests._support.shared_rust import ARM, HOST, MSRV, NEWER, STABLE, publish

RunModule = Callable[..., dict[str, Any]]

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the pinned rustup is for x86_64")


WISH = [
    {"name": "stable", "components": ["rustfmt", "clippy"], "targets": [ARM], "default": True},
    {"name": "1.75.0"},
]


def test_rust_toolchain_installs_everything_then_changes_nothing(
    keep: RunModule, server: MirrorServer, tmp_path: Path
) -> None:
    before = os.umask(0o077)
    try:
        predicted = keep(toolchains=WISH, check_mode=True)
        assert not (tmp_path / "shared").exists()
        done = keep(toolchains=WISH)
    finally:
        os.umask(before)
    assert predicted["installed"] == done["installed"] == ["rustup", STABLE, MSRV]
    assert f"component rustfmt of {STABLE}\n" in predicted["diff"][0]["after"]
    by_name = {toolchain["name"]: toolchain for toolchain in done["toolchains"]}
    assert by_name[STABLE]["default"]
    assert by_name[STABLE]["version"] == stubs.STABLE.version
    assert {"rustfmt", "clippy"} <= set(by_name[STABLE]["components"])
    assert by_name[STABLE]["targets"] == [ARM, HOST]
    assert by_name[MSRV]["version"] == "1.75.0"

    server.reset()
    again = keep(toolchains=WISH)
    assert (again["changed"], again["installed"], again["updated"]) == (False, [], [])
    assert again["diff"][0]["before"] == again["diff"][0]["after"]
    assert server.requests() == []


def test_rust_toolchain_can_be_run_by_another_user(keep: RunModule, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        keep(toolchains=[{"name": "stable"}])
    finally:
        os.umask(before)
    private = [
        path
        for path in (tmp_path / "shared").rglob("*")
        if not path.is_symlink() and not path.stat().st_mode & 0o004
    ]
    assert [path.name for path in private] == ["coldvox.lock"], "that one must not be a job's to hold"


def test_rust_toolchain_adds_components_and_targets_later(keep: RunModule) -> None:
    keep(toolchains=[{"name": "stable"}])
    done = keep(toolchains=[{"name": "stable", "components": ["rustfmt"], "targets": [ARM]}])
    assert (done["installed"], set(done["updated"])) == ([], {STABLE})
    [stable] = done["toolchains"]
    assert "rustfmt" in stable["components"]
    assert stable["targets"] == [ARM, HOST]


def test_rust_toolchain_latest_updates_channels_and_keeps_versions(keep: RunModule, tmp_path: Path) -> None:
    keep(toolchains=WISH)
    publish(tmp_path / "www", "stable", "2026-01-01", NEWER)
    assert keep(toolchains=WISH)["changed"] is False
    predicted = keep(toolchains=WISH, state="latest", check_mode=True)
    done = keep(toolchains=WISH, state="latest")
    assert predicted["updated"] == done["updated"] == [STABLE]
    versions = {toolchain["name"]: toolchain["version"] for toolchain in done["toolchains"]}
    assert versions == {STABLE: "1.99.0", MSRV: "1.75.0"}
    assert keep(toolchains=WISH, state="latest")["changed"] is False


def test_rust_toolchain_absent_removes_only_named_toolchains(keep: RunModule) -> None:
    keep(toolchains=WISH)
    done = keep(toolchains=[{"name": "1.75.0"}, {"name": "beta"}], state="absent")
    assert done["removed"] == [MSRV]
    assert [toolchain["name"] for toolchain in done["toolchains"]] == [STABLE]
    assert keep(toolchains=[{"name": "1.75.0"}], state="absent")["changed"] is False


def test_rust_toolchain_replaces_another_rustup(keep: RunModule, installer: Path, tmp_path: Path) -> None:
    keep(toolchains=[{"name": "stable"}])
    program = tmp_path / "shared/cargo/bin/rustup"
    with program.open("ab") as stream:
        stream.write(b"\0")
    assert keep(toolchains=[{"name": "stable"}])["updated"] == ["rustup"]
    assert program.read_bytes() == installer.read_bytes()


def test_rust_toolchain_repeats_an_interrupted_installation(keep: RunModule, tmp_path: Path) -> None:
    keep(toolchains=[{"name": "stable"}])
    home = tmp_path / "shared/rustup/toolchains" / STABLE
    (home / "lib/rustlib/multirust-config.toml").unlink()
    (home / "bin/rustc").unlink()
    done = keep(toolchains=[{"name": "stable"}])
    assert done["installed"] == [STABLE]
    assert (home / "bin/rustc").exists()
    assert keep(toolchains=[{"name": "stable"}])["changed"] is False


def test_rust_toolchain_ignores_the_environment_of_its_caller(
    keep: RunModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "RUSTUP_HOME": "/nonexistent",
        "RUSTUP_TOOLCHAIN": "nightly",
        "RUSTUP_DIST_SERVER": "http://127.0.0.1:1",
        "CARGO_HOME": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    assert keep(toolchains=[{"name": "stable"}])["installed"] == ["rustup", STABLE]


@pytest.mark.parametrize(
    ("toolchain", "said"),
    [
        ({"name": "stabel"}, "'stabel' is not a Rust toolchain"),
        ({"name": "1.99.0"}, "has no such toolchain, so correct its name"),
        ({"name": "stable", "components": ["miri"]}, "no such component for this host"),
        ({"name": "stable", "targets": ["nonsense-target"]}, "no such target"),
    ],
)
def test_rust_toolchain_reports_missing_parts_in_one_sentence(
    keep: RunModule, toolchain: dict[str, Any], said: str
) -> None:
    keep(toolchains=[{"name": "1.75.0"}])
    answer = keep(toolchains=[toolchain])
    assert answer["failed"]
    assert said in answer["msg"]
    assert "\n" not in answer["msg"]
    assert keep(toolchains=[{"name": "1.75.0"}])["changed"] is False


def test_rust_toolchain_installs_nothing_with_a_wrong_checksum(keep: RunModule, tmp_path: Path) -> None:
    keep(toolchains=[{"name": "stable"}])
    [tarball] = (tmp_path / "www/rust-dist/dist/2023-12-28").glob("rustc-*.tar.gz")
    good = tarball.read_bytes()
    tarball.write_bytes(good + b"tampered")
    answer = keep(toolchains=WISH)
    assert "does not have the published checksum" in answer["msg"]
    assert "expected: " in answer["msg"]
    assert not (tmp_path / "shared/rustup/toolchains" / MSRV).exists()
    tarball.write_bytes(good)
    assert MSRV in keep(toolchains=WISH)["installed"]


def test_rust_toolchain_needs_the_server_only_for_missing_parts(keep: RunModule) -> None:
    keep(toolchains=[{"name": "stable"}])
    dead = "http://127.0.0.1:1/rust-dist"
    assert keep(toolchains=[{"name": "stable"}], dist_server=dead)["changed"] is False
    answer = keep(toolchains=[{"name": "1.75.0"}], dist_server=dead)
    assert f"'{dead}' cannot be reached" in answer["msg"]
    assert "Connection refused" in answer["msg"]


def test_rust_toolchain_reports_a_missing_installer(keep: RunModule, tmp_path: Path) -> None:
    answer = keep(toolchains=[{"name": "stable"}], installer=f"{tmp_path}/nothing")
    assert "its installer" in answer["msg"]
    assert "is not on this host" in answer["msg"]


def test_rust_toolchain_runs_do_not_install_at_the_same_time(keep: RunModule, tmp_path: Path) -> None:
    lock = Flock(str(tmp_path / "shared/rustup-trees/coldvox.lock"), mode=0o600)
    keep(toolchains=[{"name": "1.75.0"}])
    with lock:
        refused = keep(toolchains=[{"name": "stable"}], timeout_seconds=1)
        assert f"because process {os.getpid()} (" in refused["msg"]
        assert keep(toolchains=[{"name": "1.75.0"}])["changed"] is False, "nothing to do needs no lock"
    assert keep(toolchains=[{"name": "stable"}])["installed"] == [STABLE]
