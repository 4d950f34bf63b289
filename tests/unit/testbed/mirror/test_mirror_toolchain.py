"""The mirror's Rust toolchain inside Debian 13, as on a host.

It compiles, links libvosk and installs tools from the registry.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from testbed.mirror import debian, models, registry
from testbed.mirror.server import mirror
from tests._support.mirror_client import require_packages

# The packages that every host has: a C compiler to link with, and a shell.
HOST_PACKAGES = ("gcc", "libc6-dev", "dash", "coreutils")
HOME = "/root"
ENTER = """
mount --rbind /proc "$1/proc" && mount --rbind /dev "$1/dev" || exit 125
exec "$CHROOT" "$1" sh -euc "$2"
"""
VOSK_MAIN = """
use std::ffi::{c_char, c_int, CString};
#[repr(C)] struct Model { _private: [u8; 0] }
#[link(name = "vosk")]
unsafe extern "C" {
    fn vosk_model_new(path: *const c_char) -> *mut Model;
    fn vosk_model_find_word(model: *mut Model, word: *const c_char) -> c_int;
}
fn main() {
    let path = CString::new(std::env::args().nth(1).unwrap()).unwrap();
    let word = CString::new("hello").unwrap();
    let model = unsafe { vosk_model_new(path.as_ptr()) };
    assert!(!model.is_null());
    println!("hello is word {}", unsafe { vosk_model_find_word(model, word.as_ptr()) });
}
"""


class Host(NamedTuple):
    """A small Debian 13 below ``root``, with the mirror's ``stable`` toolchain."""

    root: Path
    url: str

    def run(self, script: str) -> str:
        """Run a shell script inside, with a clean environment; return its output."""
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        chroot = shutil.which("chroot", path="/usr/sbin:/sbin:/usr/bin:/bin") or "chroot"
        outcome = subprocess.run(
            ["unshare", "--mount", *user, "sh", "-c", ENTER, "enter", str(self.root), script],
            env={
                "CHROOT": chroot,
                "HOME": HOME,
                "PATH": f"{HOME}/.cargo/bin:/usr/bin:/bin",
                "RUSTUP_DIST_SERVER": f"{self.url}/rust-dist",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        return outcome.stdout


@pytest.fixture(scope="module")
def host(www: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    require_packages()
    root = tmp_path_factory.mktemp("debian")
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0 and os.geteuid() == 0:
        pytest.skip("this machine does not allow mounts in a new namespace")
    debian.unpack(debian.fetch_packages(HOST_PACKAGES, cache, with_dependencies=True), root)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "usr/bin/cc").symlink_to("gcc")
    for name in ("proc", "dev", "tmp", "root"):
        (root / name).mkdir()
    shutil.copyfile(
        www / "rustup/archive/1.29.0/x86_64-unknown-linux-gnu/rustup-init", root / "root/rustup-init"
    )
    with mirror(www) as server:
        inside = Host(root, server.url)
        inside.run(
            "chmod +x /root/rustup-init; /root/rustup-init -y --no-modify-path --profile minimal"
            " --default-toolchain stable --component rustfmt --component clippy"
        )
        yield inside


def test_toolchain_programs_are_real(host: Host) -> None:
    assert host.run("rustc --version").startswith("rustc 1.85.")
    assert "LLVM version: 19" in host.run("rustc --version --verbose")
    assert host.run("rustc --print sysroot").strip().endswith("/toolchains/stable-x86_64-unknown-linux-gnu")


def test_toolchain_builds_runs_and_lints_a_crate(host: Host) -> None:
    host.run("cd /tmp; cargo new hello; cd hello; cargo build --release")
    host.run("cd /tmp/hello; cargo clippy -- -D warnings; cargo fmt --check")
    assert host.run("cd /tmp/hello; cargo run --quiet; cargo test --quiet").startswith("Hello, world!\n")


def test_toolchain_links_libvosk_and_loads_a_model(host: Host, www: Path) -> None:
    local = host.root / "usr/local"
    with zipfile.ZipFile(www / "vosk-api/v0.3.45/vosk-linux-x86_64-0.3.45.zip") as archive:
        archive.extract("vosk-linux-x86_64-0.3.45/libvosk.so", host.root / "tmp")
    with zipfile.ZipFile(www / f"vosk/models/{models.SMALL}.zip") as archive:
        archive.extractall(host.root / "tmp")
    (local / "lib").mkdir(parents=True, exist_ok=True)
    shutil.move(host.root / "tmp/vosk-linux-x86_64-0.3.45/libvosk.so", local / "lib/libvosk.so")
    host.run("cd /tmp; cargo new speech")
    (host.root / "tmp/speech/src/main.rs").write_text(VOSK_MAIN)
    flags = "RUSTFLAGS='-L /usr/local/lib -C link-arg=-Wl,-rpath,/usr/local/lib'"
    output = host.run(f"cd /tmp/speech; {flags} cargo run --quiet -- /tmp/{models.SMALL}")
    assert output == "hello is word 1\n"


def test_registry_lets_cargo_install_and_upgrade_tools(host: Host) -> None:
    config = host.root / "root/.cargo/config.toml"
    config.write_text(
        '[source.crates-io]\nreplace-with = "mirror"\n'
        f'[source.mirror]\nregistry = "sparse+{host.url}/cargo-registry/"\n'
    )
    older, newer = registry.CRATES["cargo-audit"]
    host.run(f"cargo install cargo-audit --version {older}")
    assert host.run("cargo audit --version") == f"cargo-audit {older}\n"
    host.run(f"cargo install --locked {' '.join(registry.CRATES)}")
    for name, versions in registry.CRATES.items():
        assert host.run(name) == f"{name} {versions[-1]}\n"
    assert newer in host.run("cargo install --list")
    config.unlink()
