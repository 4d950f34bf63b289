"""The times of the status, and of a report of 100,000 jobs and a month.

The status is compared with a Python that does nothing, the report with a program that reads the same rows
the way one writes it at first: dictionaries, and a date parsed for each.
"""

from __future__ import annotations

import csv
import datetime
import importlib
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.common import Options, alternating, collections_root, say, seconds, workplace
from tests.bench.hooks import installed

UTC = datetime.timezone.utc
JOBS = 100_000
DAYS = 30
SAMPLE_SECONDS = 5
TARGET_MILLISECONDS = 150
_BASE = "ansible_collections.coldvox.ci.plugins.module_utils"


def stock(place: Path, now: float) -> None:
    """Write the jobs and the samples of the host at ``place``."""
    metrics = place / "state" / "metrics"
    metrics.mkdir(parents=True)
    some_jobs = importlib.import_module("tests._support.report_jobs")
    database = importlib.import_module(f"{_BASE}.agent.history.database")
    path = str(place / "state" / "history" / "history.db")
    Path(path).parent.mkdir()
    with database.History(path):
        pass
    names = [*importlib.import_module(f"{_BASE}.agent.history.jobs").Job._fields, "began"]
    insert = f"INSERT INTO jobs ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    with sqlite3.connect(path) as connection:
        connection.executemany(insert, ((*job, job.began) for job in some_jobs.jobs(JOBS, DAYS, now)))
    connection.close()
    columns = importlib.import_module(f"{_BASE}.metrics.csv_log").COLUMNS
    with (metrics / "samples.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(some_jobs.rows(DAYS, now, SAMPLE_SECONDS))
    (place / "run" / "agent").mkdir(parents=True)
    sample = {"timestamp": datetime.datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    (place / "run" / "agent" / "sample.json").write_text(
        json.dumps({**sample, "load_1m": 1.0}), encoding="utf-8"
    )


def naive(place: Path) -> None:
    """Count the successes and the mean load of each day, as a first draft would."""
    days: dict[str, list[Any]] = {}
    connection = sqlite3.connect(place / "state" / "history" / "history.db")
    connection.row_factory = sqlite3.Row
    for row in connection.execute("SELECT * FROM jobs"):
        job = dict(row)
        day = datetime.datetime.fromtimestamp(job["completed_at"], UTC).strftime("%Y-%m-%d")
        days.setdefault(day, []).append(job)
    connection.close()
    loads: dict[str, list[float]] = {}
    with (place / "state" / "metrics" / "samples.csv").open(newline="", encoding="utf-8") as stream:
        for sample in csv.DictReader(stream):
            at = datetime.datetime.strptime(sample["timestamp"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
            loads.setdefault(at.strftime("%Y-%m-%d"), []).append(float(sample["load_avg"]))
    counted = [sum(job["result"] == "success" for job in jobs) for jobs in days.values()]
    json.dumps([counted, [sum(values) / len(values) for values in loads.values()]])


def measure(options: Options) -> None:
    """Print the times of both commands."""
    with workplace("status") as place:
        collections_root()
        command = installed(place)
        stock(place, time.time())

        def process(*words: str) -> float:
            # The status ends with 1 or 2 where the disk of this machine is full.
            return seconds(lambda: subprocess.run(words, check=False, stdout=subprocess.DEVNULL))

        report = ("report", "--format", "html", "--days", str(DAYS))
        medians = alternating(
            {
                "nothing": lambda: process(sys.executable, "-I", "-c", ""),
                "status": lambda: process(*command, "status"),
                "report": lambda: process(*command, *report),
                "naive": lambda: seconds(lambda: naive(place)),
            },
            options.repetitions,
        )
        milliseconds = medians["status"] * 1000
        say(f"status, {JOBS:,} jobs in the history", milliseconds, "ms", f"at most {TARGET_MILLISECONDS}")
        say("times a Python that does nothing", medians["status"] / medians["nothing"], "x")
        say(f"report as HTML, {JOBS:,} jobs and {DAYS} days of samples", medians["report"], "s")
        say("only reading the same, with dictionaries and strptime", medians["naive"], "s")
        faster = medians["naive"] / medians["report"]
        say("times faster, with all of the report", faster, "x", "at least 2")
