"""``runnerctl report`` as a process: formats, fresh hosts, output files."""

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
    """A host with 30 jobs and a day of samples, half of them in a rotated file."""
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


def test_report_has_the_same_jobs_in_every_format(host: Agent, user: int | None) -> None:
    document = json.loads(host.run("report", "--format", "json", user=user).stdout)
    assert document == {
        **json.loads(host.run("report", "--json", user=user).stdout),
        "ends_at": document["ends_at"],
    }
    assert (document["totals"]["jobs_here"], document["totals"]["successes_here"]) == (30, 29)
    assert (document["saved_minutes"], document["saved_money"]) == (150, 0.9)
    assert "30 jobs ran here" in host.run("report", user=user).stdout
    page = host.run("report", "--format", "html", user=user).stdout
    assert page.startswith("<!doctype html>")
    assert "30 jobs ran here" in page


def test_report_counts_rotated_samples(host: Agent) -> None:
    document = json.loads(host.run("report", "--json", "--days", "2").stdout)
    assert sum(point["load"] is not None for point in document["curve"]) > 25
    assert "samples" not in document["unknown"]


def test_report_uses_the_given_price(host: Agent) -> None:
    document = json.loads(host.run("report", "--json", "--price-per-minute", "2").stdout)
    assert document["saved_money"] == 300.0


@pytest.mark.parametrize("form", ["md", "html", "json"])
def test_report_of_a_fresh_host_gives_the_reason(agent: Agent, user: int | None, form: str) -> None:
    said = agent.run("report", "--format", form, user=user).stdout
    assert "there is no" in said, "the sampler has not run"
    assert "history.db" not in said, "no job yet is no failure"


def test_report_names_a_damaged_history_and_shows_the_rest(host: Agent) -> None:
    Path(host.paths.history).write_text("no database, but long enough to be read as one " * 9)
    document = json.loads(host.run("report", "--json").stdout)
    assert "is damaged" in document["unknown"]["jobs"]
    assert document["curve"]


def test_report_writes_a_whole_file_or_none(host: Agent, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("the one before")
    assert host.run("report", "--format", "html", "--output", str(target)).stdout == ""
    assert target.read_text().endswith("</html>\n")
    refused = host.run("report", "--output", str(tmp_path / "missing" / "report.md"), status=3)
    assert "missing" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert os.listdir(tmp_path) == ["report.html"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--days", "0"], "0 is not a number of days from 1 to 400"),
        (["--days", "x"], "x is not a number of days"),
        (["--price-per-minute", "nan"], "nan is not a price"),
        (["--price-per-minute", "-1"], "-1 is not a price"),
        (["--format", "pdf"], "invalid choice"),
    ],
)
def test_report_explains_a_wrong_call(agent: Agent, words: list[str], message: str) -> None:
    assert message in agent.run("report", *words, status=2).stderr
