"""The queries of status and report on 100,000 jobs, against a JSON file."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.common import Options, alternating, collections_root, say, workplace

JOBS = 100_000
NAMES = 40
DAY_SECONDS = 86400.0
PERIOD_SECONDS = 365 * DAY_SECONDS


def make(place: Path, database: Any, jobs: Any) -> tuple[str, Path]:
    """Write the same jobs to a database and a JSON file; return both paths.

    The jobs cover a year.
    """
    begun = time.time() - PERIOD_SECONDS
    events = []
    for number in range(JOBS):
        at = begun + number * PERIOD_SECONDS / JOBS
        event = {
            "instance": f"laptop-{number % 4}",
            "job": f"job-{number % NAMES}",
            "run_id": number,
            "repository": "o/r",
            "workflow": "CI",
            "at": at,
        }
        result = "failure" if number % 20 == 0 else "success"
        events.append(jobs.checked({**event, "event": "started"}))
        events.append(
            jobs.checked({**event, "event": "completed", "at": at + 60 + number % 7, "result": result})
        )
    path = str(place / "history.db")
    with database.History(path) as history:
        if history.add(events) != 2 * JOBS:
            sys.exit("bench: the history has not taken every record in.")
        whole = place / "history.json"
        whole.write_text(json.dumps([job._asdict() for job in history.jobs(limit=JOBS)]))
    return path, whole


def milliseconds(work: Callable[[], int], expected: int) -> float:
    """Return the milliseconds of ``work``, which must return ``expected``."""
    begun = time.perf_counter()
    number = work()
    taken = (time.perf_counter() - begun) * 1000
    if number != expected:
        sys.exit(f"bench: {number} found in the history instead of {expected}.")
    return taken


def measure(options: Options) -> None:
    """Print the cost of a day, of all sums, of a job's record, and of an addition."""
    collections_root()
    base = "ansible_collections.coldvox.ci.plugins.module_utils.agent.history"
    database, jobs = (importlib.import_module(f"{base}.{name}") for name in ("database", "jobs"))
    with workplace("history") as place:
        path, whole = make(place, database, jobs)
        since = time.time() - DAY_SECONDS
        expected = sum(job["started_at"] >= since for job in json.loads(whole.read_text()))

        def opened(ask: Callable[[Any], int]) -> int:
            with database.History(path, read_only=True) as history:
                return ask(history)

        def from_json() -> int:
            return sum(job["started_at"] >= since for job in json.loads(whole.read_text()))

        def sums_from_json() -> int:
            sums: dict[str, list[float]] = {}
            for job in json.loads(whole.read_text()):
                own = sums.setdefault(job["job"], [0, 0, 0])
                own[0] += 1
                own[1] += job["result"] == "success"
                own[2] += job["duration_seconds"]
            return len(sums)

        numbers = iter(range(JOBS, 2 * JOBS))

        def one_more() -> int:
            with database.History(path) as history:
                event = {
                    "event": "started",
                    "instance": "new",
                    "job": "job-0",
                    "run_id": next(numbers),
                    "at": since - DAY_SECONDS,
                }
                return int(history.add([jobs.checked(event)]))

        medians = alternating(
            {
                "day": lambda: milliseconds(
                    lambda: opened(lambda history: len(history.jobs(since))), expected
                ),
                "day, json": lambda: milliseconds(from_json, expected),
                "sums": lambda: milliseconds(lambda: opened(lambda history: len(history.summaries())), NAMES),
                "sums, json": lambda: milliseconds(sums_from_json, NAMES),
                "one": lambda: milliseconds(
                    lambda: opened(lambda history: len(history.summaries(job="job-7"))), 1
                ),
                "add": lambda: milliseconds(one_more, 1),
            },
            options.repetitions,
        )
        size = Path(path).stat().st_size / JOBS
    say(f"the jobs of the last day, of {JOBS}", medians["day"], "ms")
    say("times faster than from a JSON file", medians["day, json"] / medians["day"], "x", "at least 50")
    say("sums of each job name over everything", medians["sums"], "ms")
    say("times faster than from a JSON file", medians["sums, json"] / medians["sums"], "x")
    say("the record of one job name, for a decision", medians["one"], "ms")
    say("one more job, from opening to closing", medians["add"], "ms")
    say("bytes on the disk for each job", size, "B")
