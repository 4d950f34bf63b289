"""``runnerctl metrics`` as a process, with samples of this machine."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.endings import Ending, leave

from tests._support.installed_agent import Agent
from tests._support.job_records import started


@pytest.fixture
def host(agent: Agent) -> Agent:
    """An agent on a host with one instance, one model and Rust."""
    # A host has psutil for the system's Python; here only the tests' own Python is sure to have it.
    (agent.root / "current" / "psutil").symlink_to(Path(psutil.__file__).parent)
    for path in ("state/metrics", "runners/one/bin", "store/models/m/am", "rust", "config"):
        (agent.root / path).mkdir(parents=True)
    config = {"host": "laptop", "github_url": "http://127.0.0.1:1", "rust_dirs": [str(agent.root / "rust")]}
    (agent.root / "config/agent.json").write_text(json.dumps({**config, "interval_seconds": 0.1}))
    return agent


def run(host: Agent, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ``runnerctl metrics``; a value that this machine lacks causes exit code 1."""
    done = subprocess.run(
        [host.command, "metrics", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "GITHUB_RUN_ID": "77", "GITHUB_JOB": "=build"},
    )
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_metrics_sample_prints_only_json(host: Agent) -> None:
    done = run(host, "sample", "--json")
    sample = json.loads(done.stdout)
    assert sample["memory_total_bytes"] > 0
    assert sample["network_reachable"] is False
    assert "job" not in sample
    assert done.returncode == bool(sample["unavailable"])


def test_metrics_sample_adds_the_job(host: Agent) -> None:
    sample = json.loads(run(host, "sample", "--json", "--job").stdout)
    assert sample["job"] == {
        "workflow_id": "77",
        "job_name": "'=build",
        "run_attempt": "1",
        "step_name": "unknown",
    }
    path = host.root / "own.csv"
    assert "job_name '=build" in run(host, "sample", "--job", "--csv", str(path)).stdout
    assert path.read_text().splitlines()[1].endswith(",77,'=build,1,unknown")


def test_metrics_watch_is_plain_in_a_pipe(host: Agent) -> None:
    done = run(host, "watch", "--count", "2", "--interval", "0.1")
    assert done.stdout.count("RUNNER") == 2
    assert "\x1b" not in done.stdout
    lines = run(host, "watch", "--count", "2", "--interval", "0.1", "--json").stdout.splitlines()
    assert [bool(json.loads(line)["timestamp"]) for line in lines] == [True, True]


def test_metrics_watch_refreshes_a_terminal(host: Agent) -> None:
    ours, theirs = pty.openpty()
    words = [str(host.command), "metrics", "watch", "--count", "2", "--interval", "0.1"]
    with subprocess.Popen(words, stdout=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # EIO: the other end is closed
            pass
        assert process.wait(60) == 0
    os.close(ours)
    assert shown.count(b"\x1b[H\x1b[J") == 2


def wait_for(path: Path, lines: int = 1) -> list[str]:
    deadline = time.monotonic() + 60
    while True:
        written = path.read_text().splitlines() if path.exists() else []
        if len(written) >= lines or time.monotonic() > deadline:
            return written
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_metrics_run_samples_until_a_signal(host: Agent, number: signal.Signals) -> None:
    csv = host.root / "state/metrics/samples.csv"
    process = host.start("metrics", "run")
    assert len(wait_for(csv, 4)) >= 4
    process.send_signal(number)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in err
    assert json.loads(Path(host.paths.sample).read_text())["timestamp"]
    assert "coldvox_ci_load1" in (host.root / "state/metrics/coldvox_ci.prom").read_text()
    assert "Samples" in run(host, "report").stdout


def test_metrics_run_killed_leaves_whole_files(host: Agent) -> None:
    csv = host.root / "state/metrics/samples.csv"
    for round_ in range(1, 4):
        process = host.start("metrics", "run")
        wait_for(csv, 3 * round_)
        process.kill()
        process.communicate()
    assert {line.count(",") for line in csv.read_text().splitlines()} == {18}
    json.loads(Path(host.paths.sample).read_text())


def test_metrics_run_ingests_the_records_of_jobs(host: Agent) -> None:
    spool = host.root / "run/jobs/one"
    spool.mkdir(parents=True)
    record: dict[str, Any] = {
        "event": "completed",
        "instance": "one",
        "repository": "o/r",
        "workflow": "ci",
        "job": "build",
        "run_id": 7,
        "run_attempt": 1,
        "at": time.time(),
    }
    (spool / "7-1-build-1.completed.json").write_text(json.dumps(record))
    process = host.start("metrics", "run")
    deadline = time.monotonic() + 60
    while list(spool.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    _out, err = process.communicate(timeout=60)
    # The sampler reports a high load of the machine that runs the test.
    errors = [line for line in err.splitlines() if not line.startswith("<4>load over")]
    assert (list(spool.iterdir()), errors) == ([], [])
    assert Path(host.paths.history).exists()


def test_metrics_run_ingests_results_without_records(host: Agent) -> None:
    path, now = host.paths.history, time.time()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with History(path) as history:
        started(history, {"instance": "one", "job": "build", "run_id": 7, "at": now - 9})
    results = host.root / "run" / "results"
    results.mkdir()
    leave(str(host.root / "run"), Ending("one", now - 10, now - 1, "failure"))
    process = host.start("metrics", "run")
    deadline = time.monotonic() + 60
    while list(results.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    process.communicate(timeout=60)
    with History(path, read_only=True) as history:
        assert [job.result for job in history.jobs()] == ["failure"]


def test_metrics_report_has_formats_and_a_period(host: Agent) -> None:
    csv = host.root / "old.csv"
    run(host, "sample", "--csv", str(csv))
    text = csv.read_text()
    csv.write_text(text + text.splitlines()[1].replace("202", "201", 1) + "\n")
    assert json.loads(run(host, "report", "--json", "--csv", str(csv)).stdout)["samples"] == 1
    assert (
        json.loads(run(host, "report", "--format", "json", "--hours", "0", "--csv", str(csv)).stdout)[
            "samples"
        ]
        == 2
    )
    assert run(host, "report", "--format", "html", "--csv", str(csv)).stdout.startswith("<!DOCTYPE html>")
    link = host.root / "elsewhere.csv"
    link.symlink_to(csv)
    assert json.loads(run(host, "report", "--json", "--csv", str(link)).stdout)["samples"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("report",), "There are no samples at"),
        (("report", "--csv", "/proc/nowhere"), "There are no samples at '/proc/nowhere'"),
        (("sample", "--csv", "/proc/nowhere/a.csv"), "could not be appended"),
    ],
)
def test_metrics_reports_an_error_in_one_sentence(host: Agent, words: tuple[str, ...], message: str) -> None:
    done = host.run("metrics", *words, status=3)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_metrics_reports_a_broken_configuration(host: Agent) -> None:
    (host.root / "config/agent.json").write_text("{")
    for words in (("metrics", "run"), ("metrics", "sample"), ("health",)):
        assert "agent.json' cannot be used" in host.run(*words, status=3).stderr
