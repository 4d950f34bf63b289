"""Build the key and the restore keys of a model for a cache of GitHub Actions.

Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import CiError

# actions/cache takes at most 512 characters and no comma; a restore key is a prefix.
_MOST_LETTERS = 512
_DIGEST_LETTERS = 16
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def cache_key(model: Any, os: str, labels: Iterable[str] = ()) -> dict[str, Any]:
    """Return ``key`` and ``restore_keys`` of ``model``, the most specific first.

    ``model`` has ``name`` and ``sha256``; ``os`` is the system and ``labels`` are those of the runners. Order
    and case of the labels do not change the key. Separators keep a restore key from being the prefix of
    another model's key. Raises CiError for a model without a name, for a bad checksum, and for a key that is
    too long for a cache.
    """
    name, sha256 = _text(model, "name"), _text(model, "sha256")
    if not _SHA256.fullmatch(sha256):
        raise CiError(
            f"The checksum of the model '{name[:80]}' is not 64 hexadecimal digits; give its SHA-256."
        )
    own = sorted({str(label).lower() for label in labels})
    # A digest, because labels are many and may hold characters that a key must not have.
    host = hashlib.sha256("\n".join(own).encode()).hexdigest()[:_DIGEST_LETTERS] if own else ""
    parts = [_plain(name), sha256.lower()[:_DIGEST_LETTERS], _plain(os.lower()), *([host] if host else [])]
    key = "/".join(parts)
    if len(key) > _MOST_LETTERS:
        raise CiError(
            f"The cache key of '{name[:80]}' is longer than {_MOST_LETTERS} characters; shorten the name."
        )
    return {
        "key": key,
        "restore_keys": ["/".join(parts[:count]) + "/" for count in range(len(parts) - 1, 0, -1)],
    }


def _text(model: Any, field: str) -> str:
    value = model.get(field) if isinstance(model, Mapping) else None
    if not isinstance(value, str) or not value:
        raise CiError(f"The model has no '{field}'; give a dictionary with name and sha256.")
    return value


def _plain(text: str) -> str:
    """Return ``text`` with characters that artifact names lack as ``%`` and code."""
    return re.sub(r"[^A-Za-z0-9._+-]", lambda match: f"%{ord(match.group()):X}", text)
