"""How ``runnerctl`` speaks: JSON for programs, plain tables for people."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from typing import Any

OK, ATTENTION, CRITICAL, IMPOSSIBLE = 0, 1, 2, 3


def put(text: str) -> None:
    """Print one line for people or programs."""
    sys.stdout.write(text + "\n")


def put_json(data: Any) -> None:
    """Print ``data`` as one JSON document."""
    put(json.dumps(data, indent=2))


def plain(value: Any) -> Any:
    """Return ``value`` with every named tuple in it as a dictionary, as JSON wants it."""
    if hasattr(value, "_asdict"):
        return {name: plain(part) for name, part in value._asdict().items()}
    return [plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def say(text: str) -> None:
    """Tell the person at the terminal something, beside the output; whether anybody reads it changes
    nothing.
    """
    with contextlib.suppress(OSError):
        sys.stderr.write(f"runnerctl: {text}\n")
        sys.stderr.flush()


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return ``rows`` below ``heads`` in columns, without spaces at the end of a line."""
    everything = [heads, *rows]
    widths = [max(len(row[column]) for row in everything) for column in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in everything]
    return "\n".join(line.rstrip() for line in lines)
