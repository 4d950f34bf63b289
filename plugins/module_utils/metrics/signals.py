"""Signals of health beyond a sample: read only where a policy judges them.

Each reader raises ``OSError``, ``ValueError`` or ``LookupError`` for what this machine cannot tell. Formats:
the kernel's Documentation/ABI/testing/sysfs-class-power, proc(5). Batteries are read here and not by psutil,
which shows only the first battery, be it that of a mouse, and knows no supply but AC and AC0.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Callable, NamedTuple, Optional

from ..errors import CiError
from ..runner.layout import instance_unit
from . import system
from .instances import Unit

_HOUR_SECONDS = 3600.0
_DAY_SECONDS = 86400.0
# A listener asks GitHub every 50 seconds; two checks of a minute each without any work are too many.
_DEAF_SECONDS = 110.0
_MOST_REMEMBERED = 120
_POWER = "/sys/class/power_supply"


class Observation(NamedTuple):
    """What the readers see of the machine at one moment.

    ``now`` is in seconds since the epoch, ``boottime`` in seconds since boot. ``units`` are those of the
    sample's instances, by unit name. ``server_clock`` asks the probe's server for its time. ``before`` is
    what the last reading remembered.
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


def read_signals(wanted: Iterable[str], seen: Observation) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of the ``wanted`` signals, and the memory for the next call.

    Only signals with a reader are read here. A value that cannot be read is None.
    """
    names = [name for name in wanted if name in _READERS]
    memory = {name: _remembered(name, seen) for name in names if name in _REMEMBER}
    return {name: _read(name, seen, memory.get(name)) for name in names}, memory


def _remembered(name: str, seen: Observation) -> Any:
    try:
        return _REMEMBER[name](seen)
    except (ValueError, LookupError, TypeError, AttributeError):
        return _REMEMBER[name](seen._replace(before={}))  # ``before`` is damaged


def _read(name: str, seen: Observation, memory: Any) -> Any:
    try:
        return _READERS[name](seen, memory)
    except (OSError, ValueError, LookupError, TypeError, CiError):
        return None


def _on_battery(seen: Observation, _memory: Any) -> bool:
    for name in seen.names(_POWER):
        with suppress(OSError):
            if seen.text(f"{_POWER}/{name}/online").strip() == "1":
                return False
    return any(seen.text(f"{path}/status").strip() == "Discharging" for path in _batteries(seen))


def _battery_percent(seen: Observation, _memory: Any) -> float:
    return min(float(seen.text(f"{path}/capacity")) for path in _batteries(seen))


def _batteries(seen: Observation) -> list[str]:
    """Return the machine's own batteries.

    That of a mouse or a headset has the scope of a device.
    """
    batteries = []
    for path in (f"{_POWER}/{name}" for name in seen.names(_POWER)):
        scope = ""
        with suppress(OSError):
            scope = seen.text(f"{path}/scope").strip()
        if seen.text(f"{path}/type").strip() == "Battery" and scope != "Device":
            batteries.append(path)
    return batteries


def _temperature(_seen: Observation, _memory: Any) -> float:
    return system.hottest_celsius()


def _oom_count(seen: Observation) -> list[list[float]]:
    """Return [boot time, kills] of the last hour's checks, the oldest first."""
    old = [[float(at), int(count)] for at, count in seen.before.get("oom_kills") or ()]
    recent = [pair for pair in old if 0 <= seen.boottime - pair[0] <= _HOUR_SECONDS]
    try:
        counters = dict(line.split() for line in seen.text("/proc/vmstat").splitlines())
        return [*recent, [seen.boottime, int(counters["oom_kill"])]][-_MOST_REMEMBERED:]
    except (OSError, ValueError, KeyError):
        return recent


def _oom_kills(_seen: Observation, memory: Any) -> int:
    return int(memory[-1][1] - memory[0][1])


def _listeners_dead(seen: Observation, _memory: Any) -> int:
    return sum(
        bool(instance["unit_active"]) and instance["listener_pid"] is None
        for instance in seen.sample["instances"]
    )


def _listening(seen: Observation) -> dict[str, list[float]]:
    """Return CPU time, and boot time of its last change, of each idle listener.

    The keys are the names of the units.
    """
    old = seen.before.get("listeners_deaf") or {}
    now = {}
    for instance in seen.sample.get("instances") or ():
        unit = instance_unit(instance["name"])
        used = seen.units[unit].cpu_nanoseconds if unit in seen.units else None
        if used is None or instance["busy"] or instance["listener_pid"] is None:
            continue
        was, since = old.get(unit) or (None, seen.boottime)
        now[unit] = [used, since if was == used else seen.boottime]
    return now


def _listeners_deaf(seen: Observation, memory: Any) -> int:
    if seen.sample["instances"] and not seen.units:
        raise LookupError("the CPU time of the units is not known")
    return sum(seen.boottime - since >= _DEAF_SECONDS for _used, since in memory.values())


def _cache_damaged(seen: Observation, _memory: Any) -> int:
    from ..store.verify import verify

    return len(verify(seen.store_dir, predict=True).corrupt)


def _runner_age_days(seen: Observation, _memory: Any) -> float:
    from ..store.index import Index
    from ..store.layout import Layout

    refs = Index(Layout(seen.store_dir)).refs().values()
    installed = max(ref.installed_at for ref in refs if ref.kind == "runner")
    since = datetime.fromisoformat(installed.replace("Z", "+00:00")).timestamp()
    return round(max(0.0, seen.now - since) / _DAY_SECONDS, 1)


def _clock_skew(seen: Observation, _memory: Any) -> float:
    stated = seen.server_clock()
    if stated is None:
        raise LookupError("the server's answer has no date")
    return abs(round(seen.now - stated, 1))


def _clock_synchronized(_seen: Observation, _memory: Any) -> bool:
    import ctypes

    # struct timex begins with modes = 0, which only asks. TIME_ERROR (5): the clock is not synchronized.
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))
    if state < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return bool(state != 5)


_READERS: Mapping[str, Callable[[Observation, Any], Any]] = {
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
# What the next check must know of this one.
_REMEMBER: Mapping[str, Callable[[Observation], Any]] = {
    "oom_kills": _oom_count,
    "listeners_deaf": _listening,
}
