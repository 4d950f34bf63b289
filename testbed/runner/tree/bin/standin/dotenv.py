"""The ``.env`` file, which every listener process reads first."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path


def load(path: Path, environ: MutableMapping[str, str]) -> None:
    """Set the variables of ``path`` in ``environ``.

    A line is split at the first ``=``; there are no comments, no quotes, no expansion and no trimming. An
    empty value removes the variable. A line without ``=`` or without a name is ignored.
    """
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        name, separator, value = line.partition("=")
        if not separator or not name:
            continue
        if value:
            environ[name] = value
        else:
            environ.pop(name, None)
