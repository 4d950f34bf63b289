"""Names under which a model is kept in a cache: the content first, then ever less of it. Pure."""

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
    """Return the ``key`` of ``model`` (``name`` and ``sha256``) for the system ``os`` and runners with
    ``labels``, and its ``restore_keys``, the most specific first.

    Equal content gives equal keys: neither order nor case of the labels counts. The parts are separated so
    that no restore key is the prefix of another model's key. Raises CiError for a model without a name or
    with a checksum that is none, and for a key that no cache takes.
    """
    name, sha256 = _text(model, "name"), _text(model, "sha256")
    if not _SHA256.fullmatch(sha256):
        raise CiError(
            f"The checksum of the model '{name[:80]}' is not 64 hexadecimal digits; give its SHA-256."
        )
    own = sorted({str(label).lower() for label in labels})
    # A digest, since labels are many and may hold what a key must not.
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
    """Return ``text`` for a key; other characters than those of artifact names stand as their code."""
    return re.sub(r"[^A-Za-z0-9._+-]", lambda found: f"%{ord(found.group()):X}", text)
