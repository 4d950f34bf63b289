"""The real rustup against the mirror; no test here runs a compiler."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.mirror import rust_dist, stubs
from testbed.mirror.server import MirrorServer
from tests._support.mirror_client import Rustup, require_packages

HOST = "x86_64-unknown-linux-gnu"


def test_stub_toolchains_install_and_print_their_versions(rustup: Rustup) -> None:
    outcome = rustup.run(
        "toolchain", "install", "1.75.0", "beta", "-c", "rustfmt", "-c", "clippy", "-c", "rust-src"
    )
    assert outcome.returncode == 0, outcome.stderr
    for toolchain, release in (("1.75.0", stubs.MSRV), ("beta", stubs.BETA)):
        for program, version in (
            ("rustc", release.rustc),
            ("cargo", release.cargo),
            ("rustfmt", release.rustfmt),
        ):
            answer = rustup.run("run", toolchain, program, "--version")
            assert answer.stdout == f"{program} {version}\n", answer.stderr
        clippy = rustup.run("run", toolchain, "cargo-clippy", "--version")
        assert clippy.stdout == f"clippy {release.clippy}\n"
    listed = rustup.run("toolchain", "list").stdout
    assert {line.split()[0] for line in listed.splitlines()} == {f"1.75.0-{HOST}", f"beta-{HOST}"}


def test_stub_toolchain_says_that_it_cannot_compile(rustup: Rustup) -> None:
    rustup.run("toolchain", "install", "1.75.0")
    outcome = rustup.run("run", "1.75.0", "rustc", "main.rs")
    assert outcome.returncode == 1
    assert "stand-in" in outcome.stderr


def test_rustup_adds_and_removes_components_and_targets(rustup: Rustup) -> None:
    rustup.run("toolchain", "install", "1.75.0")
    for change in (
        ("component", "add", "clippy"),
        ("component", "remove", "clippy"),
        ("component", "add", "rustfmt"),
        ("target", "add", rust_dist.OTHER_TARGET),
    ):
        outcome = rustup.run(*change, "--toolchain", "1.75.0")
        assert outcome.returncode == 0, outcome.stderr
    installed = rustup.run("component", "list", "--installed", "--toolchain", "1.75.0").stdout.split()
    assert f"rustfmt-{HOST}" in installed
    assert f"clippy-{HOST}" not in installed
    targets = rustup.run("target", "list", "--installed", "--toolchain", "1.75.0").stdout.split()
    assert targets == [rust_dist.OTHER_TARGET, HOST]


def test_rustup_fails_for_what_the_mirror_lacks(rustup: Rustup) -> None:
    assert rustup.run("toolchain", "install", "1.2.3").returncode == 1
    rustup.run("toolchain", "install", "1.75.0")
    assert rustup.run("component", "add", "miri", "--toolchain", "1.75.0").returncode == 1


def test_rustup_detects_a_wrong_tarball(rustup: Rustup, served: MirrorServer) -> None:
    served.set_faults([{"path_regex": "/rustc-1.75.0-.*gz$", "kind": "change_between_ranges"}])
    assert rustup.run("toolchain", "install", "1.75.0").returncode == 0, "rustup asked for no range"
    rustup.run("toolchain", "uninstall", "1.75.0")
    served.set_faults([{"path_regex": "/rustc-1.75.0-.*gz$", "kind": "html"}])
    outcome = rustup.run("toolchain", "install", "1.75.0")
    assert outcome.returncode == 1
    assert "checksum" in outcome.stderr
    assert not (rustup.home / "toolchains" / f"1.75.0-{HOST}").exists()


def test_rustup_asks_the_mirror_for_its_own_updates(rustup: Rustup, served: MirrorServer) -> None:
    outcome = rustup.run("self", "update")
    assert outcome.returncode == 0, outcome.stderr
    assert "/rustup/release-stable.toml" in [entry["path"] for entry in served.requests()]


def test_stable_toolchain_installs_completely(rustup: Rustup) -> None:
    require_packages()
    outcome = rustup.run(
        "toolchain", "install", "stable", "-c", "rustfmt", "-c", "clippy", "--no-self-update"
    )
    assert outcome.returncode == 0, outcome.stderr
    assert "warn" not in outcome.stderr
    tree = rustup.home / "toolchains" / f"stable-{HOST}"
    assert (tree / "bin/rustc").read_bytes()[:4] == b"\x7fELF"
    assert list((tree / "lib").glob("librustc_driver-*.so"))
    assert list((tree / f"lib/rustlib/{HOST}/lib").glob("libstd-*.rlib"))
    # rustup puts lib on LD_LIBRARY_PATH of everything that a job starts, so it must hold nothing else.
    assert [path.name for path in (tree / "lib").glob("*.so*") if "rustc_driver" not in path.name] == []


def test_channel_manifest_files_have_their_digests(www: Path) -> None:
    digests = {
        path: entry["sha256"] for path, entry in json.loads((www / "manifest.json").read_text()).items()
    }
    for channel in ("stable", "beta", "1.75.0"):
        text = (www / f"rust-dist/dist/channel-rust-{channel}.toml").read_text()
        lines = text.splitlines()
        urls = [line.split('"')[1] for line in lines if line.startswith("url")]
        hashes = [line.split('"')[1] for line in lines if line.startswith("hash")]
        named = dict(zip(urls, hashes, strict=True))
        assert len([hash_ for hash_ in named.values() if hash_ == "0" * 64]) == 1, (
            "only the package rust itself"
        )
        for url, hash_ in named.items():
            assert hash_ == "0" * 64 or digests[url.removeprefix("http://mirror.invalid/")] == hash_


@pytest.mark.parametrize("arguments", [["-V"], ["--version", "--verbose"], ["-vV"]])
def test_stub_toolchain_answers_version_queries(arguments: list[str], rustup: Rustup) -> None:
    rustup.run("toolchain", "install", "1.75.0")
    outcome = rustup.run("run", "1.75.0", "rustc", *arguments)
    assert outcome.stdout.splitlines()[0] == "rustc 1.75.0 (82e1608df 2023-12-21)"
