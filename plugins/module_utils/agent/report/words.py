"""Texts for people: durations, counts, strangers' text safe for a terminal. Pure."""

from __future__ import annotations

import unicodedata
from typing import Optional

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def duration(seconds: float) -> str:
    """Return ``seconds`` as text with at most two units: ``4 min 12 s``."""
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    for unit, name, smaller, small_name in ((_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "min")):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit} {name} {rest} {small_name}" if rest else f"{whole // unit} {name}"
    rest = whole % _MINUTE
    return f"{whole // _MINUTE} min {rest} s" if rest else f"{whole // _MINUTE} min"


def count(number: int, singular: str) -> str:
    """Return ``number`` with its noun, whose plural ends with s."""
    return f"{number:,} {singular}{'' if number == 1 else 's'}"


def clean(text: str) -> str:
    """Return a stranger's ``text`` on one line, without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def columns(text: str) -> int:
    """Return the terminal columns of ``text`` (East Asian Width, UAX 11)."""
    if text.isascii():
        return len(text)
    return sum(_width(letter) for letter in text)


def _width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def clip(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` columns, with ``…`` where it was cut."""
    if columns(text) <= width:
        return text
    taken, used = [], 0
    for letter in text:
        used += _width(letter)
        if used > width - 1:
            break
        taken.append(letter)
    return "".join(taken) + "…" if width > 0 else ""


def pad(text: str, width: int) -> str:
    """Return ``text`` in exactly ``width`` columns."""
    cut = clip(text, width)
    return cut + " " * (width - columns(cut))


def wrap(text: str, width: int) -> list[str]:
    """Return ``text`` in lines of at most ``width`` columns; longer words are cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if columns(longer) <= width or not lines[-1]:
            lines[-1] = clip(longer, width)
        else:
            lines.append(clip(word, width))
    return lines


def tenth(value: Optional[float]) -> Optional[float]:
    """Return ``value`` with one digit after the point; None stays None."""
    return None if value is None else round(value, 1)
