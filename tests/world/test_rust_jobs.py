"""Rust in a real job in the sandbox: what is there, what is not, and what stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testbed.github.client import AdminClient

NAME = "laptop-extra-lint"
LABELS = ["fedora", "nobara", "fast-lint"]
ROOT = f"/var/lib/actions-runner/{NAME}"
SHARED = "/var/lib/coldvox-ci/rustup"
OFFLINE = "export RUSTUP_DIST_SERVER=http://127.0.0.1:1\n"
# The steps of dtolnay/rust-toolchain@stable with `components: rustfmt, clippy`.
ACTION = """
set -e
export RUSTUP_PERMIT_COPY_RENAME=1
command -v rustup
rustup toolchain install stable --component rustfmt --component clippy \\
    --profile minimal --no-self-update --force-non-host
rustup default stable --force-non-host
rustc +stable --version --verbose
"""
BUILD = """
cargo init --quiet --vcs none --name hello hello && cd hello
cargo clippy --quiet && cargo fmt --check && cargo run --quiet | grep -qx 'Hello, world!'
"""
# Three kinds of parts that the inventory does not list, and a toolchain that the job first removes.
ADD = """
rustup target add aarch64-unknown-linux-gnu
rustup toolchain install stable --component rust-src --profile minimal --no-self-update
rustup toolchain uninstall beta
printf '[toolchain]\\nchannel = "beta"\\ncomponents = ["rust-src"]\\n' > rust-toolchain.toml
rustc --version | grep beta
"""
ADDED = "$HOME/.rustup/toolchains/stable-x86_64-unknown-linux-gnu/lib/rustlib"
Shell = Callable[..., str]


def run(github: AdminClient, script: str) -> str:
    done = github.wait_for_job(github.queue_job(LABELS, script), timeout_seconds=120)
    assert done["conclusion"] == "success", done["log"][-3000:]
    return str(done["log"])


def digest(shell: Shell) -> str:
    return shell(f"cd {SHARED}/toolchains && find . -type f -exec sha256sum {{}} + | sort | sha256sum")


def test_action_needs_no_network_for_what_is_there(github: AdminClient) -> None:
    log = run(github, OFFLINE + ACTION + BUILD)
    assert "release: " in log


def test_job_adds_for_itself_alone(github: AdminClient, shell: Shell) -> None:
    before = digest(shell)
    run(github, ACTION + ADD + f"test -d {ADDED}/src && test -d {ADDED}/aarch64-unknown-linux-gnu")
    assert digest(shell) == before
    run(github, OFFLINE + f"set -e; ! test -e {ADDED}/src; rustc +beta --version" + ACTION)


@pytest.mark.parametrize(
    "command", ["rustup target add aarch64-unknown-linux-gnu", "rustup component add rust-src"]
)
def test_job_without_network_says_what_to_ask_for(github: AdminClient, command: str) -> None:
    proxy = "http://127.0.0.1:1"
    script = f"export http_proxy={proxy} https_proxy={proxy} RUSTUP_MAX_RETRIES=0\n! {command}"
    assert "ask the owner of this runner to add it to rust_toolchains_toolchains" in run(github, script)


def test_toolchain_of_a_job_takes_no_space(shell: Shell) -> None:
    files = f"find {ROOT}/_home/.rustup/toolchains -type f"
    own = shell(f"{files} ! -user root -size +1200k")
    assert own == "", "only rustup's records are the job's, and the longest has 1 MB"
    assert shell(f"{files} -user root -links 1") == ""
    assert int(shell(f"{files} -user root | wc -l")) > 20
