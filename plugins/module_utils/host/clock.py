"""Read the boot id, the boot-time clock and time stamps."""

from __future__ import annotations

import time


def boot_id() -> str:
    """Return the kernel's id of this boot, empty where it cannot be read."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def boottime() -> float:
    """Return the seconds since boot with suspend.

    A change of the wall clock does not move it.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def timestamp(seconds: float) -> str:
    """Return ``seconds`` since the epoch as UTC ISO 8601 with ``Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
