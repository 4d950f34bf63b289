"""The output of ``runnerctl``: JSON for programs, plain tables for people."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from ...errors import CiError

OK, ATTENTION, CRITICAL, IMPOSSIBLE = 0, 1, 2, 3
_NARROWEST = 8  # columns of a cell


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


def require_root(doing: str) -> None:
    """Raise CiError unless root runs this; ``doing`` completes "Only root can …"."""
    if os.geteuid() != 0:
        raise CiError(f"Only root can {doing}; call it with sudo.")


def terminal_columns() -> int:
    """Return the columns of the terminal; 0 in a pipe, where nothing limits a line."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return 0


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int = -1) -> str:
    """Return ``rows`` below ``heads`` in columns, without spaces at a line's end.

    On a terminal (or with ``width``) the widest columns become narrower, so that a line fits.
    """
    from ..report.words import columns, pad

    everything = [heads, *rows]
    widths = [max(columns(row[column]) for row in everything) for column in range(len(heads))]
    limit = terminal_columns() if width < 0 else width
    while limit and sum(widths) + 2 * (len(widths) - 1) > limit and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    lines = ["  ".join(map(pad, row, widths)) for row in everything]
    return "\n".join(line.rstrip() for line in lines)
