"""Rust toolchains: a pure plan, and rustup on the host."""
