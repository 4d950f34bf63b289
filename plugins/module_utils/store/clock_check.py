"""Check of the wall clock before a collection trusts ages of weeks. Pure.

Last uses are wall-clock times, so a clock that jumps a year ahead would make every tree look unused. Every
collection writes the wall clock and the boot-time clock of one moment, the anchor. When the two advanced
differently since then, nothing counts as old until the clock has run evenly for as long as the age in
question. What is older than that by then was not used for that long, independent of the earlier error of the
clock.
"""

from __future__ import annotations

import json
from typing import NamedTuple, Optional

from .lease import Instant

SCHEMA = 1
# Daylight saving does not move this clock; NTP and a suspended machine's rounding move it by seconds.
_SLACK_SECONDS = 3600.0
# A machine may be off for a week; a longer pause looks the same as a jump.
_OFF_SECONDS = 7 * 86400.0
# The first second of 2025: a clock before that was never set (a flat battery gives 1970 or 2000).
_EARLIEST = 1735689600.0


class Anchor(NamedTuple):
    """The clocks at a collection.

    ``steady_seconds`` is how long they have run evenly; None when no jump was ever seen.
    """

    boot_id: str
    boottime: float
    wall: float
    steady_seconds: Optional[float]


def observe(
    anchor: Optional[Anchor], now: Instant, newest_write: float, needed_seconds: float
) -> tuple[Anchor, str]:
    """Return the next anchor, and why ages cannot be believed (empty when they can).

    ``newest_write`` is the latest time the store wrote anything, in seconds since the epoch (0: never);
    without an anchor it is the only evidence. ``needed_seconds`` is the age in question.
    """
    problem = _jump(anchor, now, newest_write)
    if problem:
        return Anchor(now.boot_id, now.boottime, now.wall, 0.0), problem
    steady = anchor.steady_seconds if anchor else None
    if anchor and steady is not None:
        steady += max(0.0, now.wall - anchor.wall)
    if steady is not None and steady < needed_seconds:
        days = needed_seconds / 86400
        problem = f"the clock jumped, and has not run evenly for {days:g} days since"
    return Anchor(now.boot_id, now.boottime, now.wall, steady), problem


def _jump(anchor: Optional[Anchor], now: Instant, newest_write: float) -> str:
    if now.wall < _EARLIEST:
        return "the clock of this machine is not set"
    if anchor is None:
        if newest_write and now.wall - newest_write > _OFF_SECONDS:
            return "nothing was written to the store for so long that the clock may have jumped"
        return ""
    passed = now.wall - anchor.wall
    if anchor.boot_id and anchor.boot_id == now.boot_id:
        least = most = now.boottime - anchor.boottime
    else:
        # The machine was off for an unknown time, and is up since ``boottime``.
        least, most = now.boottime, now.boottime + _OFF_SECONDS
    if passed < least - _SLACK_SECONDS:
        return "the clock went back"
    if passed > most + _SLACK_SECONDS:
        return "the clock jumped ahead, or the machine was off for long"
    return ""


def encode(anchor: Anchor) -> str:
    """Return ``anchor`` as the text of its file."""
    return json.dumps({"schema": SCHEMA, **anchor._asdict()}) + "\n"


def decode(text: Optional[str]) -> Optional[Anchor]:
    """Return the anchor in ``text``; None for no text or a damaged one."""
    try:
        whole = json.loads(text or "null")
        if whole is None or whole["schema"] != SCHEMA:
            return None
        steady = whole["steady_seconds"]
        return Anchor(
            str(whole["boot_id"]),
            float(whole["boottime"]),
            float(whole["wall"]),
            None if steady is None else float(steady),
        )
    except (ValueError, KeyError, TypeError):
        return None
