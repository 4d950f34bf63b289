"""``runnerctl report`` as a process: every format, hosts without anything, files whole or not at all."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.csv_log import COLUMNS

from tests._support.installed_agent import Agent
from tests._support.job_records import completed, started
from tests._support.report_jobs import rows


@pytest.fixture
def host(agent: Agent) -> Agent:
    """A host with 30 jobs of the last days, and a day of samples, half of them in a file set aside."""
    metrics = agent.root / "state" / "metrics"
    metrics.mkdir(parents=True)
    now = time.time()
    with History(agent.paths.history) as history:
        for number in range(30):
            job = {"instance": "heavy-1", "job": "build", "workflow": "CI", "run_id": number}
            ended = now - number * 3600 - 10
            started(history, {**job, "at": ended - 300})
            completed(history, {**job, "at": ended, "result": "success" if number else "failure"})
    lines = [",".join(row) for row in rows(1, now)]
    half = len(lines) // 2
    for name, part in (("samples.csv.1", lines[:half]), ("samples.csv", lines[half:])):
        (metrics / name).write_text("\n".join([",".join(COLUMNS), *part]) + "\n")
    return agent


def test_every_format_tells_of_the_same_jobs(host: Agent, user: int | None) -> None:
    told = json.loads(host.run("report", "--format", "json", user=user).stdout)
    assert told == {**json.loads(host.run("report", "--json", user=user).stdout), "ends_at": told["ends_at"]}
    assert (told["totals"]["jobs_here"], told["totals"]["successes_here"]) == (30, 29)
    assert (told["saved_minutes"], told["saved_money"]) == (150, 0.9)
    assert "30 jobs ran here" in host.run("report", user=user).stdout
    page = host.run("report", "--format", "html", user=user).stdout
    assert page.startswith("<!doctype html>")
    assert "30 jobs ran here" in page


def test_samples_that_were_set_aside_count_too(host: Agent) -> None:
    told = json.loads(host.run("report", "--json", "--days", "2").stdout)
    assert sum(point["load"] is not None for point in told["curve"]) > 25
    assert "samples" not in told["unknown"]


def test_the_price_is_an_input(host: Agent) -> None:
    told = json.loads(host.run("report", "--json", "--price-per-minute", "2").stdout)
    assert told["saved_money"] == 300.0


@pytest.mark.parametrize("form", ["md", "html", "json"])
def test_a_fresh_host_has_a_report_that_says_why_it_is_empty(
    agent: Agent, user: int | None, form: str
) -> None:
    assert "history.db" in agent.run("report", "--format", form, user=user).stdout


def test_a_damaged_history_is_said_and_the_rest_is_told(host: Agent) -> None:
    Path(host.paths.history).write_text("no database, but long enough to be read as one " * 9)
    told = json.loads(host.run("report", "--json").stdout)
    assert "is damaged" in told["unknown"]["jobs"]
    assert told["curve"]


def test_a_file_is_written_whole_or_not_at_all(host: Agent, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("the one before")
    assert host.run("report", "--format", "html", "--output", str(target)).stdout == ""
    assert target.read_text().endswith("</html>\n")
    refused = host.run("report", "--output", str(tmp_path / "missing" / "report.md"), status=3)
    assert "missing" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert os.listdir(tmp_path) == ["report.html"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--days", "0"], "0 is not a number of days from 1 to 400"),
        (["--days", "x"], "x is not a number of days"),
        (["--price-per-minute", "nan"], "nan is not a price"),
        (["--price-per-minute", "-1"], "-1 is not a price"),
        (["--format", "pdf"], "invalid choice"),
    ],
)
def test_a_wrong_call_is_told_what_is_wrong(agent: Agent, words: list[str], said: str) -> None:
    assert said in agent.run("report", *words, status=2).stderr
