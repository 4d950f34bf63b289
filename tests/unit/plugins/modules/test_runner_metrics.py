"""The module on this machine, with its paths in a temporary directory."""

from __future__ import annotations

import csv
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from ansible_collections.coldvox.ci.plugins.modules import runner_metrics

RunModule = Callable[..., dict[str, Any]]


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """Return options for a host with an instance, a model and both Rust directories."""
    for path in ("runners/one/bin", "store/models/small/am", "rustup", "cargo"):
        (tmp_path / path).mkdir(parents=True)
    return {
        "base_dir": str(tmp_path / "runners"),
        "store": f"{tmp_path}/store/",
        "rust_dirs": [str(tmp_path / "rustup"), str(tmp_path / "cargo")],
        "github_url": "http://127.0.0.1:1",
    }


def test_runner_metrics_samples_this_machine(run_module: RunModule, options: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        options["github_url"] = f"http://127.0.0.1:{server.getsockname()[1]}"
        answer = run_module(runner_metrics.main, **options)
    metrics = answer["metrics"]
    assert answer["changed"] is False
    assert metrics["memory_total_bytes"] == psutil.virtual_memory().total
    assert metrics["cpu_count"] == psutil.cpu_count()
    assert 0 <= metrics["cpu_percent"] <= 100
    assert metrics["network_reachable"] is True
    assert metrics["model_cache_available"] is True
    assert [each["name"] for each in metrics["instances"]] == ["one"]
    assert (metrics["listeners"], metrics["active_jobs"]) == (0, 0)
    # The answer names values that this machine lacks (systemd, disks in a container).
    assert {key for key, value in metrics.items() if value is None} == {
        key for key in metrics["unavailable"] if "." not in key
    }


def test_runner_metrics_returns_samples_in_order_and_the_last_as_metrics(
    run_module: RunModule, options: dict[str, Any]
) -> None:
    answer = run_module(runner_metrics.main, samples=3, interval_seconds=0.01, **options)
    assert len(answer["samples"]) == 3
    assert answer["samples"][-1] == answer["metrics"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_runner_metrics_writes_lines_except_in_check_mode(
    run_module: RunModule, options: dict[str, Any], tmp_path: Path, check_mode: bool
) -> None:
    path = tmp_path / "samples.csv"
    answer = run_module(
        runner_metrics.main,
        check_mode=check_mode,
        samples=2,
        interval_seconds=0.01,
        csv_path=str(path),
        **options,
    )
    assert answer["changed"] is False
    assert path.exists() is not check_mode
    if not check_mode:
        assert len(list(csv.reader(path.read_text(encoding="utf-8").splitlines()))) == 3


@pytest.mark.parametrize(("samples", "interval_seconds"), [(0, 5), (2, 0), (2, -1), (722, 5), (2, 3601)])
def test_runner_metrics_refuses_a_bad_run(
    run_module: RunModule, options: dict[str, Any], samples: int, interval_seconds: float
) -> None:
    answer = run_module(runner_metrics.main, samples=samples, interval_seconds=interval_seconds, **options)
    assert answer["failed"] is True
    assert f"{samples} samples every {interval_seconds:g} s" in answer["msg"]


def test_runner_metrics_reports_an_unwritable_csv_in_one_sentence(
    run_module: RunModule, options: dict[str, Any]
) -> None:
    answer = run_module(runner_metrics.main, csv_path="/proc/nowhere/samples.csv", **options)
    assert answer["failed"] is True
    assert "'/proc/nowhere/samples.csv'" in answer["msg"]
    assert "Traceback" not in answer["msg"]
