"""``run.sh --jitconfig``: the registration comes ready-made from the REST API."""

from __future__ import annotations

import base64
import binascii
import json
import os
from pathlib import Path

from .basics import RunnerError


def unpack(encoded: str, root: Path) -> None:
    """Write the files that ``encoded`` holds into ``root``; raises RunnerError for anything else."""
    try:
        files = json.loads(base64.b64decode(encoded, validate=True))
        contents = {name: base64.b64decode(text, validate=True) for name, text in files.items()}
    except (binascii.Error, ValueError, AttributeError, TypeError) as error:
        raise RunnerError(f"The JIT configuration cannot be read: {error}") from None
    for name, content in contents.items():
        path = root / Path(name).name
        path.write_bytes(content)
        if path.name == ".credentials_rsaparams":
            os.chmod(path, 0o600)
