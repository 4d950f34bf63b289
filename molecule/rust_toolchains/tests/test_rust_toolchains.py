"""Shared toolchains: every CI user can run them and none can change them."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("toolchain", "expected"), [("1.75.0", "rustc 1.75.0 "), ("stable", "rustc 1."), ("beta", "rustc 1.")]
)
def test_toolchains_run(as_user: Callable[..., str], toolchain: str, expected: str) -> None:
    assert as_user(f"rustc +{toolchain} --version").startswith(expected)


def test_toolchain_stable_is_the_default(as_user: Callable[..., str]) -> None:
    assert as_user("rustc --version") == as_user("rustc +stable --version")


@pytest.mark.parametrize("component", ["rustfmt", "cargo-clippy"])
def test_components_run(as_user: Callable[..., str], component: str) -> None:
    assert as_user(f"{component} --version")


def test_crate_builds_and_runs(as_user: Callable[..., str]) -> None:
    """Use the mirror's stable toolchain, which is a real compiler."""
    assert as_user("cargo init --quiet --vcs none --name hello . && cargo run --quiet") == "Hello, world!\n"


def test_complete_toolchain_needs_no_server(as_user: Callable[..., str]) -> None:
    options = "--component rustfmt --profile minimal --no-self-update --force-non-host"
    as_user(f"RUSTUP_DIST_SERVER=http://127.0.0.1:1 rustup toolchain install stable {options}")


def test_toolchains_cannot_be_changed_by_a_job(refused: Callable[..., None]) -> None:
    refused("touch /var/lib/coldvox-ci/rustup/planted")
    refused("touch /var/lib/coldvox-ci/rustup/toolchains/planted")
    refused("rm /var/lib/coldvox-ci/cargo/bin/rustup")
