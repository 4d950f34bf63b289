"""The CSV of samples, in the 19 columns that ColdVox's reports read; zero stands for what is unknown."""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from ..errors import CiError
from .system import SECTOR_BYTES, percent

MIB = 1024 * 1024

COLUMNS = (
    "timestamp",
    "load_avg",
    "memory_mb",
    "memory_available_mb",
    "disk_pct",
    "runner_cpu",
    "runner_mem",
    "network_rx",
    "network_tx",
    "disk_read",
    "disk_write",
    "cache_size_mb",
    "vosk_model_mb",
    "rust_cache_mb",
    "active_jobs",
    "workflow_id",
    "job_name",
    "run_attempt",
    "step_name",
)

# The last four columns: the variable GitHub sets in a job, and what stands there outside of one.
_JOB_COLUMNS = (
    ("GITHUB_RUN_ID", "unknown"),
    ("GITHUB_JOB", "unknown"),
    ("GITHUB_RUN_ATTEMPT", "1"),
    ("GITHUB_STEP", "unknown"),
)


def row(sample: Mapping[str, Any], environment: Mapping[str, str]) -> list[str]:
    """Return ``sample`` as the values of COLUMNS; ``environment`` is that of the job, where there is one.

    runner_cpu and runner_mem are percent of all cores and of all memory, for all instances together;
    disk_read and disk_write count sectors of 512 bytes, as the script did whose reports this feeds.
    """
    used = _sum(sample, "memory_bytes")
    values: list[Any] = [
        str(sample["timestamp"]).replace("T", " ").rstrip("Z"),
        sample["load_1m"] or 0,
        _mib(sample["memory_used_bytes"]),
        _mib(sample["memory_available_bytes"]),
        round(sample["disk_used_percent"] or 0),
        round(_sum(sample, "cpu_percent"), 1),
        percent(used, sample["memory_total_bytes"] or 0),
        sample["network_rx_bytes"] or 0,
        sample["network_tx_bytes"] or 0,
        (sample["disk_read_bytes"] or 0) // SECTOR_BYTES,
        (sample["disk_written_bytes"] or 0) // SECTOR_BYTES,
        _mib(sample["store_bytes"]),
        _mib(sample["models_bytes"]),
        _mib(sample["rust_cache_bytes"]),
        sample["active_jobs"] or 0,
        *(environment.get(name) or default for name, default in _JOB_COLUMNS),
    ]
    return [str(value) for value in values]


def _mib(size: Optional[int]) -> int:
    return (size or 0) // MIB


def _sum(sample: Mapping[str, Any], key: str) -> float:
    return sum(instance[key] or 0 for instance in sample["instances"] or ())


def append(path: str, rows: Iterable[list[str]]) -> None:
    """Append ``rows`` to the CSV at ``path``, with the header when the file is new.

    A link at ``path`` is not followed, since the directory may be one that others write to. Raises CiError
    when the file cannot be written.
    """
    try:
        with open(path, "a", encoding="utf-8", newline="", opener=_open_no_link) as file:
            # Two samplers that start together must not both write the header.
            fcntl.flock(file, fcntl.LOCK_EX)
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            if os.fstat(file.fileno()).st_size == 0:
                writer.writerow(COLUMNS)
            writer.writerows(rows)
            file.write(text.getvalue())
    except OSError as error:
        raise CiError(
            f"The samples could not be appended to '{path}' ({error.strerror}); "
            "give csv_path as a file in a directory that exists and is writable."
        ) from error


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o644)
