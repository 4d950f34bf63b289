"""The emulator's clock, which tests can move."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone


@dataclass(frozen=True)
class Moment:
    """One instant.

    ``now`` (UTC) decides whether a token has expired. ``tick`` (seconds) decides whether a session is alive.
    """

    now: datetime
    tick: float


class Clock:
    """Real time plus an offset.

    Only ``now`` can be moved: a test that ages a token by an hour must not end the runners' sessions.
    """

    def __init__(self) -> None:
        self._offset = timedelta()

    def moment(self) -> Moment:
        return Moment(datetime.now(timezone.utc) + self._offset, time.monotonic())

    def advance(self, seconds: float) -> None:
        self._offset += timedelta(seconds=seconds)


def timestamp(moment: datetime) -> str:
    """Return ``moment`` as GitHub writes it: UTC, whole seconds, ``Z``."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
