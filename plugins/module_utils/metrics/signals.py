"""Signals of health beyond a sample: read only where a policy judges them, because most hosts do without.

Each reader raises ``OSError``, ``ValueError`` or ``LookupError`` for what this machine cannot tell. Formats:
the kernel's Documentation/ABI/testing/sysfs-class-power and sysfs-class-thermal, proc(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Callable, NamedTuple, Optional

from ..errors import CiError
from ..runner.layout import instance_unit
from .instances import Unit

_HOUR_SECONDS = 3600.0
_DAY_SECONDS = 86400.0
# A listener asks GitHub every 50 seconds; two checks of a minute each without any work are too many.
_DEAF_SECONDS = 110.0
_MOST_REMEMBERED = 120
_THERMAL, _POWER = "/sys/class/thermal", "/sys/class/power_supply"


class Surroundings(NamedTuple):
    """How the readers see the machine. Times: ``now`` since the epoch, ``boottime`` since boot, in seconds.

    ``units`` are those of the sample's instances, by unit name; ``server_clock`` asks the server of the probe
    for its time; ``before`` is what the last reading left to be remembered.
    """

    text: Callable[[str], str]
    names: Callable[[str], list[str]]
    sample: Mapping[str, Any]
    units: Mapping[str, Unit]
    store_dir: str
    now: float
    boottime: float
    server_clock: Callable[[], Optional[float]]
    before: Mapping[str, Any]


def read(wanted: Iterable[str], here: Surroundings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return those of ``wanted`` that are read here, None for what cannot be told; and what to remember."""
    names = [name for name in wanted if name in _READERS]
    memory = {name: _remembered(name, here) for name in names if name in _REMEMBER}
    return {name: _read(name, here, memory.get(name)) for name in names}, memory


def _remembered(name: str, here: Surroundings) -> Any:
    try:
        return _REMEMBER[name](here)
    except (ValueError, LookupError, TypeError, AttributeError):
        return _REMEMBER[name](here._replace(before={}))  # what was to be remembered is damaged


def _read(name: str, here: Surroundings, memory: Any) -> Any:
    try:
        return _READERS[name](here, memory)
    except (OSError, ValueError, LookupError, TypeError, CiError):
        return None


def _on_battery(here: Surroundings, _memory: Any) -> bool:
    for name in here.names(_POWER):
        with suppress(OSError):
            if here.text(f"{_POWER}/{name}/online").strip() == "1":
                return False
    return any(here.text(f"{path}/status").strip() == "Discharging" for path in _batteries(here))


def _battery_percent(here: Surroundings, _memory: Any) -> float:
    charges = [float(here.text(f"{path}/capacity")) for path in _batteries(here)]
    if not charges:
        raise LookupError("no battery")
    return min(charges)


def _batteries(here: Surroundings) -> list[str]:
    """Return the machine's own batteries; those of a mouse or a headset have the scope of a device."""
    found = []
    for path in (f"{_POWER}/{name}" for name in here.names(_POWER)):
        scope = ""
        with suppress(OSError):
            scope = here.text(f"{path}/scope").strip()
        if here.text(f"{path}/type").strip() == "Battery" and scope != "Device":
            found.append(path)
    return found


def _temperature(here: Surroundings, _memory: Any) -> float:
    read = []
    for zone in here.names(_THERMAL):
        # A sensor that sleeps answers with an error.
        with suppress(OSError, ValueError):
            if zone.startswith("thermal_zone"):
                read.append(int(here.text(f"{_THERMAL}/{zone}/temp")) / 1000)
    if not read:
        raise LookupError("no sensor")
    return max(read)


def _oom_count(here: Surroundings) -> list[list[float]]:
    """Return the counter of the last hour's checks as [boot time, kills] each, the oldest first."""
    old = [[float(at), int(count)] for at, count in here.before.get("oom_kills") or ()]
    kept = [pair for pair in old if 0 <= here.boottime - pair[0] <= _HOUR_SECONDS]
    try:
        counters = dict(line.split() for line in here.text("/proc/vmstat").splitlines())
        return [*kept, [here.boottime, int(counters["oom_kill"])]][-_MOST_REMEMBERED:]
    except (OSError, ValueError, KeyError):
        return kept


def _oom_kills(_here: Surroundings, memory: Any) -> int:
    return int(memory[-1][1] - memory[0][1])


def _listeners_dead(here: Surroundings, _memory: Any) -> int:
    return sum(bool(one["unit_active"]) and one["listener_pid"] is None for one in here.sample["instances"])


def _listening(here: Surroundings) -> dict[str, list[float]]:
    """Return the CPU time of each idle listener's unit, and since when (boot time) it stands at that."""
    old = here.before.get("listeners_deaf") or {}
    now = {}
    for one in here.sample.get("instances") or ():
        unit = instance_unit(one["name"])
        used = here.units[unit].cpu_nanoseconds if unit in here.units else None
        if used is None or one["busy"] or one["listener_pid"] is None:
            continue
        was, since = old.get(unit) or (None, here.boottime)
        now[unit] = [used, since if was == used else here.boottime]
    return now


def _listeners_deaf(here: Surroundings, memory: Any) -> int:
    if here.sample["instances"] and not here.units:
        raise LookupError("nobody accounts CPU time to the units")
    return sum(here.boottime - since >= _DEAF_SECONDS for _used, since in memory.values())


def _cache_damaged(here: Surroundings, _memory: Any) -> int:
    from ..store.verify import verify

    return len(verify(here.store_dir, predict=True).corrupt)


def _runner_age_days(here: Surroundings, _memory: Any) -> float:
    from ..store.index import Index
    from ..store.layout import Layout

    refs = Index(Layout(here.store_dir)).refs().values()
    installed = max(ref.installed_at for ref in refs if ref.kind == "runner")
    since = datetime.fromisoformat(installed.replace("Z", "+00:00")).timestamp()
    return round(max(0.0, here.now - since) / _DAY_SECONDS, 1)


def _clock_skew(here: Surroundings, _memory: Any) -> float:
    stated = here.server_clock()
    if stated is None:
        raise LookupError("the server did not tell the time")
    return abs(round(here.now - stated, 1))


def _clock_synchronized(_here: Surroundings, _memory: Any) -> bool:
    import ctypes

    # struct timex begins with modes = 0, which only asks; TIME_ERROR (5) is a clock that nobody synchronizes.
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))
    if state < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return bool(state != 5)


_READERS: Mapping[str, Callable[[Surroundings, Any], Any]] = {
    "on_battery": _on_battery,
    "battery_percent": _battery_percent,
    "temperature_celsius": _temperature,
    "oom_kills": _oom_kills,
    "listeners_dead": _listeners_dead,
    "listeners_deaf": _listeners_deaf,
    "cache_damaged": _cache_damaged,
    "runner_age_days": _runner_age_days,
    "clock_skew_seconds": _clock_skew,
    "clock_synchronized": _clock_synchronized,
}
# What of the machine must be known from one check to the next.
_REMEMBER: Mapping[str, Callable[[Surroundings], Any]] = {
    "oom_kills": _oom_count,
    "listeners_deaf": _listening,
}
