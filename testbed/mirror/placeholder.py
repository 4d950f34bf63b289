"""The address that a built file carries instead of the mirror's own, which is known only while serving."""

from __future__ import annotations

import re

PLACEHOLDER = "http://mirror.invalid"
_REWRITTEN = re.compile(r"rust-dist/.*\.toml(\.sha256)?|cargo-registry/config\.json")


def is_rewritten(path: str) -> bool:
    """Tell whether the file at this path below the root is served with the mirror's own address in it."""
    return _REWRITTEN.fullmatch(path) is not None


def with_address(content: bytes, address: str) -> bytes:
    """Return ``content`` with ``address`` (``http://host:port``) in place of the placeholder."""
    return content.replace(PLACEHOLDER.encode(), address.encode())
