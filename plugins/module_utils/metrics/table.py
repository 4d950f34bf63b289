"""A sample as a table for the terminal. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ..cli.output import table
from ..sizes import size

_UNKNOWN = "-"


def lines(sample: Mapping[str, Any]) -> str:
    """Return ``sample`` as two tables, the host's and the runners'."""
    rows = [
        ("load", _plain(sample["load_1m"]), f"on {sample['cpu_count']} cores"),
        ("cpu", _share(sample["cpu_percent"]), ""),
        ("memory", _share(sample["memory_used_percent"]), f"{_size(sample['memory_available_bytes'])} left"),
        ("swap", _share(sample["swap_used_percent"]), ""),
        ("disk", _share(sample["disk_used_percent"]), f"{_size(sample['disk_free_bytes'])} free"),
        ("pressure", "", _pressure(sample)),
        ("network", "", _both(sample, "network_rx_bytes", "network_tx_bytes", "received", "sent")),
        ("disks", "", _both(sample, "disk_read_bytes", "disk_written_bytes", "read", "written")),
        ("store", _size(sample["store_bytes"]), f"{_size(sample['models_bytes'])} of it models"),
        ("rust", _size(sample["rust_cache_bytes"]), ""),
        ("github", _truth(sample["network_reachable"], "reachable", "not reachable"), ""),
        ("jobs", _plain(sample["active_jobs"]), f"{_plain(sample['listeners'])} listeners"),
    ]
    text = table((sample["timestamp"], "", ""), rows)
    if sample["instances"]:
        runners = [_runner(one) for one in sample["instances"]]
        text += "\n\n" + table(("RUNNER", "STATE", "CPU", "MEMORY"), runners)
    return text


def _runner(one: Mapping[str, Any]) -> tuple[str, str, str, str]:
    state = "busy" if one["busy"] else _truth(one["unit_active"], "idle", "stopped")
    return one["name"], state, _share(one["cpu_percent"]), _size(one["memory_bytes"])


def _pressure(sample: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_share(sample[f'psi_{name}_some_avg60'])}" for name in ("cpu", "memory", "io"))


def _both(sample: Mapping[str, Any], one: str, other: str, first: str, second: str) -> str:
    return f"{_size(sample[one])} {first}, {_size(sample[other])} {second}"


def _plain(value: Optional[float]) -> str:
    return _UNKNOWN if value is None else f"{value:g}"


def _share(value: Optional[float]) -> str:
    return _UNKNOWN if value is None else f"{value:.1f} %"


def _size(value: Optional[int]) -> str:
    return _UNKNOWN if value is None else size(value)


def _truth(value: Optional[bool], true: str, false: str) -> str:
    return _UNKNOWN if value is None else (true if value else false)
