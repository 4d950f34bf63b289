from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import csv_log

HEADER = (
    "timestamp,load_avg,memory_mb,memory_available_mb,disk_pct,runner_cpu,runner_mem,network_rx,network_tx,"
    "disk_read,disk_write,cache_size_mb,vosk_model_mb,rust_cache_mb,active_jobs,workflow_id,job_name,"
    "run_attempt,step_name"
)
MIB = 1024**2
SAMPLE: dict[str, Any] = {
    "timestamp": "2026-03-01T09:30:00Z",
    "load_1m": 1.25,
    "memory_total_bytes": 1000 * MIB,
    "memory_used_bytes": 400 * MIB,
    "memory_available_bytes": 600 * MIB,
    "disk_used_percent": 83.3,
    "network_rx_bytes": 10,
    "network_tx_bytes": 20,
    "disk_read_bytes": 1024,
    "disk_written_bytes": 2048,
    "store_bytes": 50 * MIB,
    "models_bytes": 40 * MIB,
    "rust_cache_bytes": 30 * MIB,
    "active_jobs": 2,
    "instances": [
        {"cpu_percent": 10.0, "memory_bytes": 100 * MIB},
        {"cpu_percent": None, "memory_bytes": 50 * MIB},
    ],
}


def test_the_columns_are_the_nineteen_of_the_reports() -> None:
    assert ",".join(csv_log.COLUMNS) == HEADER


def test_a_sample_becomes_a_row_in_their_units() -> None:
    environment = {
        "GITHUB_RUN_ID": "77",
        "GITHUB_JOB": "build",
        "GITHUB_RUN_ATTEMPT": "2",
        "GITHUB_STEP": "lint",
    }
    assert ",".join(csv_log.row(SAMPLE, environment)) == (
        "2026-03-01 09:30:00,1.25,400,600,83,10.0,15.0,10,20,2,4,50,40,30,2,77,build,2,lint"
    )


def test_what_is_unknown_is_zero_and_outside_of_a_job_its_columns_say_so() -> None:
    unknown = dict.fromkeys(SAMPLE) | {"timestamp": "2026-03-01T09:30:00Z"}
    row = csv_log.row(unknown, {"GITHUB_JOB": ""})
    assert [float(value) for value in row[1:15]] == [0.0] * 14
    assert row[15:] == ["unknown", "unknown", "1", "unknown"]


def test_the_header_stands_once_and_odd_names_stay_in_their_column(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    for _ in range(2):
        csv_log.append(str(path), [csv_log.row(SAMPLE, {"GITHUB_JOB": 'a, "b"'})])
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == list(csv_log.COLUMNS)
    assert [row[16] for row in rows] == ['a, "b"'] * 2


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("keep", encoding="utf-8")
    (tmp_path / "samples.csv").symlink_to(target)
    with pytest.raises(CiError, match=r"samples\.csv.*csv_path"):
        csv_log.append(str(tmp_path / "samples.csv"), [["x"]])
    assert target.read_text(encoding="utf-8") == "keep"


def test_a_missing_directory_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CiError, match=r"No such file or directory.*give csv_path"):
        csv_log.append(str(tmp_path / "missing" / "samples.csv"), [["x"]])
