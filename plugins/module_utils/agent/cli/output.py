"""The output of ``runnerctl``: JSON for programs, plain tables for people."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from typing import Any

OK, ATTENTION, CRITICAL, IMPOSSIBLE = 0, 1, 2, 3


def print_line(text: str) -> None:
    """Write one line to standard output."""
    sys.stdout.write(text + "\n")


def print_json(data: Any) -> None:
    """Write ``data`` to standard output as one JSON document."""
    print_line(json.dumps(data, indent=2))


def plain(value: Any) -> Any:
    """Return ``value`` with every named tuple in it as a dictionary, for JSON."""
    if hasattr(value, "_asdict"):
        return {name: plain(part) for name, part in value._asdict().items()}
    return [plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def log(text: str) -> None:
    """Write a message for a person to standard error, if it is still open."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"runnerctl: {text}\n")
        sys.stderr.flush()


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return ``rows`` below ``heads`` in columns, without spaces at a line's end."""
    everything = [heads, *rows]
    widths = [max(len(row[column]) for row in everything) for column in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in everything]
    return "\n".join(line.rstrip() for line in lines)
