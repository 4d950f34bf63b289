"""Write sizes for people."""

from __future__ import annotations


def size(count: float) -> str:
    """Return ``count`` bytes as a short text with a unit, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
