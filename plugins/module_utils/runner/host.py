"""What an instance needs of the machine, all of which can be another in a test."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Callable

from ..process import Run


@dataclass(frozen=True)
class Host:
    """Programs, clock and directories of the machine; ``now`` is a monotonic clock in seconds, ``kill`` sends
    a signal to a process.
    """

    run: Run
    sleep: Callable[[float], None]
    now: Callable[[], float]
    kill: Callable[[int, int], None] = os.kill
    unit_dir: str = "/etc/systemd/system"
    proc: str = "/proc"
    drain_timeout_seconds: float = 1800.0
