"""The placeholder for the mirror's address in built files.

The address is known only when the server runs.
"""

from __future__ import annotations

import re

PLACEHOLDER = "http://mirror.invalid"
_REWRITTEN = re.compile(r"rust-dist/.*\.toml(\.sha256)?|cargo-registry/config\.json")


def is_rewritten(path: str) -> bool:
    """Return whether the file at this path is served with the mirror's address."""
    return _REWRITTEN.fullmatch(path) is not None


def with_address(content: bytes, address: str) -> bytes:
    """Return ``content`` with the placeholder replaced by ``address``.

    ``address`` is ``http://host:port``.
    """
    return content.replace(PLACEHOLDER.encode(), address.encode())
