"""Stand-in toolchains for the real rustup, and the names that it gives them."""

from __future__ import annotations

from pathlib import Path

from testbed.mirror import rust_dist, stubs

HOST = "x86_64-unknown-linux-gnu"
ARM = "aarch64-unknown-linux-gnu"
STABLE = f"stable-{HOST}"
MSRV = f"1.75.0-{HOST}"
NEWER = stubs.Release("1.99.0", "1.99.0 (x 2026-01-01)", "1.99.0", "1.99.0", "0.1.99")


def publish(www: Path, name: str, date: str, release: stubs.Release) -> None:
    """Write the channel ``name`` below ``www``, with ``release`` as its newest."""
    channel = rust_dist.Channel(name, date, release.version, release.rustc, release.component)
    rust_dist.write_channel(www / "rust-dist", channel)
