"""A sample in the text format of Prometheus, for node_exporter.

node_exporter's textfile collector reads it. Names and units follow prometheus.io/docs/practices/naming: base
units, ratios instead of percent, counters that end in ``_total``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Optional

PREFIX = "coldvox_ci_"


class Metric(NamedTuple):
    """The name, kind and help of a sample's key.

    ``factor`` converts its value to the base unit.
    """

    key: str
    name: str
    kind: str
    help: str
    factor: float = 1


_PERCENT = 0.01
HOST = (
    Metric("load_1m", "load1", "gauge", "Running or waiting tasks, mean of a minute."),
    Metric("cpu_count", "cpus", "gauge", "Logical cores."),
    Metric("cpu_percent", "cpu_used_ratio", "gauge", "Share of all cores in use.", _PERCENT),
    Metric("memory_total_bytes", "memory_size_bytes", "gauge", "Main memory."),
    Metric("memory_used_bytes", "memory_used_bytes", "gauge", "Memory that is not available."),
    Metric("memory_available_bytes", "memory_available_bytes", "gauge", "Memory for new programs."),
    Metric("swap_used_percent", "swap_used_ratio", "gauge", "Share of the swap in use.", _PERCENT),
    Metric("disk_total_bytes", "disk_size_bytes", "gauge", "Size of the work file system."),
    Metric("disk_used_percent", "disk_used_ratio", "gauge", "Used share of it, as in df.", _PERCENT),
    Metric("disk_free_bytes", "disk_free_bytes", "gauge", "Bytes that users can still write to it."),
    Metric("psi_cpu_some_avg60", "pressure_cpu_ratio", "gauge", "Time lost waiting for the CPU.", _PERCENT),
    Metric("psi_memory_some_avg60", "pressure_memory_ratio", "gauge", "The same for memory.", _PERCENT),
    Metric("psi_io_some_avg60", "pressure_io_ratio", "gauge", "The same for the disk.", _PERCENT),
    Metric("store_bytes", "store_bytes", "gauge", "Everything in the artifact store."),
    Metric("models_bytes", "models_bytes", "gauge", "Models in the artifact store."),
    Metric("rust_cache_bytes", "rust_cache_bytes", "gauge", "Rust toolchains and cargo's caches."),
    Metric("listeners", "listeners", "gauge", "Runner instances that wait for jobs or run one."),
    Metric("active_jobs", "active_jobs", "gauge", "Jobs that run."),
    Metric("model_cache_available", "model_cache_available", "gauge", "Whether the wanted models are there."),
    Metric("network_reachable", "network_reachable", "gauge", "Whether GitHub could be reached."),
)
# One series per device: a sum falls when a device is pulled, and rate() takes that for a restart.
INTERFACE = (
    Metric("rx_bytes", "network_receive_bytes_total", "counter", "Received over real interfaces."),
    Metric("tx_bytes", "network_transmit_bytes_total", "counter", "Sent over real interfaces."),
)
DISK = (
    Metric("read_bytes", "disk_read_bytes_total", "counter", "Read from the disks."),
    Metric("written_bytes", "disk_written_bytes_total", "counter", "Written to the disks."),
)
RUNNER = (
    Metric("unit_active", "runner_active", "gauge", "Whether the service of the runner runs."),
    Metric("busy", "runner_busy", "gauge", "Whether the runner has a job."),
    Metric("cpu_percent", "runner_cpu_used_ratio", "gauge", "Its share of all cores.", _PERCENT),
    Metric("memory_bytes", "runner_memory_bytes", "gauge", "Memory accounted to the runner."),
)
# The metrics of a sample's lists: the key of the list, and the label with the name of an entry.
_LISTS = (
    (INTERFACE, "interfaces", "device"),
    (DISK, "disks", "device"),
    (RUNNER, "instances", "runner"),
)


def text(sample: Mapping[str, Any], health: Optional[Mapping[str, Any]] = None) -> str:
    """Return ``sample`` and the score of ``health`` as text, without null values."""
    lines: list[str] = []
    for metric in HOST:
        lines += _family(metric, [("", sample.get(metric.key))])
    for metrics, key, label in _LISTS:
        for metric in metrics:
            named = [(each["name"], each.get(metric.key)) for each in sample.get(key) or ()]
            lines += _family(metric, [(f'{{{label}="{_escaped(name)}"}}', value) for name, value in named])
    lines += _family(
        Metric("", "health_score", "gauge", "Score of the host."), [("", (health or {}).get("score"))]
    )
    taken = Metric("", "sample_timestamp_seconds", "gauge", "Time of the sample.")
    return "\n".join([*lines, *_family(taken, [("", _seconds(sample["timestamp"]))])]) + "\n"


def _family(metric: Metric, values: Iterable[tuple[str, Any]]) -> list[str]:
    name = PREFIX + metric.name
    lines = [
        f"{name}{labels} {_number(value, metric.factor)}" for labels, value in values if value is not None
    ]
    return [f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.kind}", *lines] if lines else []


def _number(value: Any, factor: float) -> str:
    # A share needs ten digits at most, a counter of bytes needs all.
    return str(int(value)) if factor == 1 and int(value) == value else f"{value * factor:.10g}"


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _seconds(timestamp: str) -> int:
    return int(datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp())
