from __future__ import annotations

import csv
import os
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import csv_log
from hypothesis import given
from hypothesis import strategies as st

from tests._support.other_user import other_user

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


def test_columns_are_the_nineteen_of_the_reports() -> None:
    assert ",".join(csv_log.COLUMNS) == HEADER


def test_row_has_the_units_of_the_reports() -> None:
    environment = {
        "GITHUB_RUN_ID": "77",
        "GITHUB_JOB": "build",
        "GITHUB_RUN_ATTEMPT": "2",
        "GITHUB_STEP": "lint",
    }
    assert ",".join(csv_log.row(SAMPLE, environment)) == (
        "2026-03-01 09:30:00,1.25,400,600,83,10.0,15.0,10,20,2,4,50,40,30,2,77,build,2,lint"
    )


def test_row_has_zero_for_unknown_values_and_defaults_outside_of_a_job() -> None:
    unknown = dict.fromkeys(SAMPLE) | {"timestamp": "2026-03-01T09:30:00Z"}
    row = csv_log.row(unknown, {"GITHUB_JOB": ""})
    assert [float(value) for value in row[1:15]] == [0.0] * 14
    assert row[15:] == ["unknown", "unknown", "1", "unknown"]


def test_append_writes_the_header_once_and_keeps_odd_names_in_their_column(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    for _ in range(2):
        csv_log.append(str(path), [csv_log.row(SAMPLE, {"GITHUB_JOB": 'a, "b"'})])
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == list(csv_log.COLUMNS)
    assert [row[16] for row in rows] == ['a, "b"'] * 2


def test_append_does_not_follow_a_link(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("keep", encoding="utf-8")
    (tmp_path / "samples.csv").symlink_to(target)
    with pytest.raises(CiError, match=r"samples\.csv.*csv_path"):
        csv_log.append(str(tmp_path / "samples.csv"), [["x"]])
    assert target.read_text(encoding="utf-8") == "keep"


def test_append_to_a_missing_directory_raises_ci_error(tmp_path: Path) -> None:
    with pytest.raises(CiError, match=r"No such file or directory.*give csv_path"):
        csv_log.append(str(tmp_path / "missing" / "samples.csv"), [["x"]])


HOSTILE = [
    ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
    ("+1", "'+1"),
    ("-1", "'-1"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("  =1", "'  =1"),
    ("\t=1", "' =1"),
    ("a\nb\rc\0d\x1b[2Je", "a b c d [2Je"),
    ("a\u2028b", "a b"),
    ("x" * 500, "x" * 200),
    ("build (ubuntu, 1.75.0)", "build (ubuntu, 1.75.0)"),
]


@pytest.mark.parametrize(("name", "disarmed"), HOSTILE)
def test_row_has_no_formula_and_no_second_line_from_a_job(tmp_path: Path, name: str, disarmed: str) -> None:
    path = tmp_path / "samples.csv"
    csv_log.append(str(path), [csv_log.row(SAMPLE, {"GITHUB_JOB": name})])
    _header, *rows = csv.reader(path.read_text(encoding="utf-8").splitlines())
    assert [row[16] for row in rows] == [disarmed]


@given(st.text())
def test_job_columns_are_one_cell_of_one_line_for_each_name(name: str) -> None:
    cell = csv_log.job_columns({"GITHUB_JOB": name})["job_name"]
    assert len(cell.splitlines()) <= 1
    assert cell.lstrip()[:1] not in ("=", "+", "-", "@")
    assert len(cell) <= 201


def stamped(number: int) -> list[str]:
    """Return the row of a sample every five seconds, for a day and more."""
    at = datetime(2026, 3, 1, tzinfo=timezone.utc) + timedelta(seconds=5 * number)
    return csv_log.row({**SAMPLE, "timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ")}, {})


def test_read_returns_a_rotated_day_in_order(tmp_path: Path) -> None:
    path = str(tmp_path / "samples.csv")
    rotation = csv_log.Rotation(bytes=500_000, kept=7)
    for first in range(0, 17280, 60):
        csv_log.append(path, (stamped(number) for number in range(first, first + 60)), rotation)
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert 2 <= len(sizes) <= 8
    assert max(sizes) < 500_000 + 60 * 200
    rows = list(csv_log.read(path))
    assert len(rows) == 17280
    assert [row["timestamp"] for row in rows] == sorted(row["timestamp"] for row in rows)
    assert len(list(csv_log.read(path, "2026-03-01 23:00:00"))) == 720


def test_append_removes_the_oldest_files(tmp_path: Path) -> None:
    path = str(tmp_path / "samples.csv")
    for number in range(50):
        csv_log.append(path, [stamped(number)], csv_log.Rotation(bytes=1, kept=3))
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        ".samples.csv.lock",
        "samples.csv",
        *(f"samples.csv.{number}" for number in (1, 2, 3)),
    ]
    assert [row["timestamp"][-5:] for row in csv_log.read(path)] == ["03:50", "03:55", "04:00", "04:05"]


def test_append_of_several_samplers_loses_no_line_and_writes_one_header_a_file(tmp_path: Path) -> None:
    path = str(tmp_path / "samples.csv")

    def write(number: int) -> None:
        for _ in range(50):
            csv_log.append(path, [stamped(number)], csv_log.Rotation(bytes=4000, kept=100))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(csv_log.read(path))) == 200
    for file in tmp_path.glob("samples.csv*"):
        assert file.read_text(encoding="utf-8").count("timestamp") == 1


def test_append_leaves_no_half_line_on_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    csv_log.append(str(path), [stamped(0)])
    before = path.read_bytes()
    script = (
        "import resource, signal, sys\n"
        "from ansible_collections.coldvox.ci.plugins.module_utils.metrics import csv_log\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 10},) * 2)\n"
        f"csv_log.append({str(path)!r}, [['2026-03-01 00:00:05'] + ['1'] * 18])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert "could not be appended" in done.stderr
    assert path.read_bytes() == before


def test_read_leaves_out_lines_that_are_not_samples(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    csv_log.append(str(path), [stamped(0)])
    with path.open("ab") as file:
        file.write(b"half a li\n\xff\xfe\n\n")
    assert len(list(csv_log.read(str(path)))) == 1


def test_read_without_samples_raises_ci_error(tmp_path: Path) -> None:
    with pytest.raises(CiError, match=r"There are no samples at .*start the sampler"):
        list(csv_log.read(str(tmp_path / "samples.csv")))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become a job's user")
def test_append_is_not_stopped_by_a_readers_lock(reachable: Path) -> None:
    """A job's lock on the CSV made the service miss its watchdog."""
    path = reachable / "samples.csv"
    csv_log.append(str(path), [["1"]])
    code = (
        "import fcntl, struct, sys\n"
        f"file = open({str(path)!r})\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack('hhqqi4x', fcntl.F_RDLCK, 0, 0, 0, 0))\n"
        f"try: open({str(reachable / '.samples.csv.lock')!r})\n"
        "except PermissionError: print('held', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    with other_user(code) as printed:
        assert printed.readline() == "held\n"
        began = time.monotonic()
        csv_log.append(str(path), [["2"]], csv_log.Rotation(bytes=1, kept=1))
        assert time.monotonic() - began < 3
    assert path.read_text().splitlines()[-1] == "2"
    assert (reachable / "samples.csv.1").exists()
