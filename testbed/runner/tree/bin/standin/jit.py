"""The option ``--jitconfig``: a registration that the REST API prepared."""

from __future__ import annotations

import base64
import binascii
import json
import os
from pathlib import Path

from .basics import RunnerError


def unpack(encoded: str, root: Path) -> None:
    """Write the files of a JIT configuration into ``root``.

    Raises RunnerError for an invalid one.
    """
    try:
        files = json.loads(base64.b64decode(encoded, validate=True))
        contents = {name: base64.b64decode(text, validate=True) for name, text in files.items()}
    except (binascii.Error, ValueError, AttributeError, TypeError) as error:
        raise RunnerError(f"The JIT configuration cannot be read: {error}. Request a new one.") from None
    for name, content in contents.items():
        path = root / Path(name).name
        path.write_bytes(content)
        if path.name == ".credentials_rsaparams":
            os.chmod(path, 0o600)
