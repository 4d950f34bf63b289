from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.records import (
    Job,
    RecordError,
    checked,
)
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.statistics import summary
from ansible_collections.coldvox.ci.plugins.module_utils.health.dispatch import Aggregate

from tests._support.job_records import NOON, ended, hosted, record

NOBODY = 65534
HOUR = 3600.0


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "history.db")


@pytest.fixture
def history(path: str) -> Iterator[History]:
    # Far in the future from the tests' jobs or not, none of them is too old.
    with History(path, most_days=100_000) as opened:
        yield opened


def test_a_job_begins_and_ends(history: History) -> None:
    assert history.started(record(repository="o/r", workflow="CI", **{"class": "heavy"}, queued_at=NOON - 9))
    (running,) = history.jobs()
    assert (running.running, running.result, running.completed_at) == (True, "", None)
    assert history.completed(ended(90, peak_memory_bytes=5, cpu_seconds=1.5, cache_hits=3, cache_misses=1))
    assert history.jobs() == [
        Job(
            kind="self_hosted",
            instance="laptop",
            repository="o/r",
            workflow="CI",
            job="build",
            run_id=7,
            run_attempt=1,
            job_class="heavy",
            queued_at=NOON - 9,
            started_at=NOON,
            completed_at=NOON + 90,
            result="success",
            duration_seconds=90.0,
            peak_memory_bytes=5,
            cpu_seconds=1.5,
            cache_hits=3,
            cache_misses=1,
        )
    ]


def test_what_is_told_twice_counts_once(history: History) -> None:
    told = [history.started(record()), history.started(record()), history.completed(ended())]
    told += [history.completed(ended()), history.started(record())]
    assert told == [True, False, True, False, False]
    assert len(history.jobs()) == 1


def test_jobs_of_a_matrix_on_one_runner_are_several(history: History) -> None:
    for index in range(3):
        history.started(record(at=NOON + index * 100))
        history.completed(ended(10, at=NOON + index * 100 + 10))
    assert [job.duration_seconds for job in history.jobs()] == [10, 10, 10]


def test_the_latest_comes_first_and_can_be_asked_for_alone(history: History) -> None:
    for index, name in enumerate(["lint", "build", "build (beta)", "build_all", "builder"]):
        history.started(record(job=name, run_id=index, at=NOON + index))
        history.completed(ended(job=name, run_id=index, at=NOON + 60))
    assert [job.run_id for job in history.jobs()] == [4, 3, 2, 1, 0]
    assert [job.run_id for job in history.jobs(limit=2)] == [4, 3]
    assert [job.run_id for job in history.jobs(since=NOON + 3)] == [4, 3]
    assert [job.job for job in history.jobs(job="build")] == ["build (beta)", "build"]
    assert [job.job for job in history.jobs(job="build", since=NOON + 2)] == ["build (beta)"]
    assert [one.job for one in history.summaries(job="build")] == ["build", "build (beta)"]
    assert history.jobs(job="' OR 1 --") == history.jobs(job="\ud800") == []


def test_an_end_without_a_beginning_is_kept_and_has_no_duration(history: History) -> None:
    assert history.completed(ended())
    assert not history.completed(ended())
    (found,) = history.jobs()
    assert (found.started_at, found.duration_seconds, found.result) == (None, None, "success")
    assert found.began == NOON + 60


def test_a_clock_that_went_back_gives_no_duration(history: History) -> None:
    history.started(record())
    history.completed(ended(-HOUR))
    (found,) = history.jobs()
    assert (found.duration_seconds, found.result, found.running) == (None, "success", False)
    assert history.summaries()[0][2:6] == (1, 1, 0.0, 0)


def test_a_runner_that_begins_another_job_has_lost_the_one_before(history: History) -> None:
    history.started(record(run_id=1))
    history.started(record(run_id=1, instance="other"))
    history.started(record(run_id=2, at=NOON + 5))
    assert {(job.instance, job.run_id): job.result for job in history.jobs()} == {
        ("laptop", 1): "lost",
        ("laptop", 2): "",
        ("other", 1): "",
    }
    history.completed(ended(run_id=1, result="failure"))  # its end was only late
    assert [job.result for job in history.jobs() if job.instance == "laptop"] == ["", "failure"]


def test_a_wrong_record_changes_nothing(history: History) -> None:
    with pytest.raises(RecordError, match="'job' is missing"):
        history.started(record(job=""))
    assert history.jobs() == []


def test_hosted_jobs_come_in_once(history: History) -> None:
    rows = [hosted(), hosted(run_id=10, result=None), hosted(run_id=11, result="failure")]
    assert history.add_hosted(rows) == 2
    assert history.add_hosted(rows) == 0
    assert {(job.kind, job.run_id) for job in history.jobs()} == {("cloud", 9), ("cloud", 11)}


def test_one_wrong_row_takes_none_in(history: History) -> None:
    with pytest.raises(RecordError):
        history.add_hosted([hosted(), hosted(hosted=None)])
    assert history.jobs() == []


def test_github_adds_to_a_job_of_this_host_what_its_hook_could_not_know(history: History) -> None:
    history.started(record(job="build", run_id=9))
    history.completed(ended(300, job="build", run_id=9, result=""))
    row = hosted(hosted=False, runner_name="laptop", name="Build it", result="failure")
    assert history.add_hosted([row]) == 0
    assert history.add_hosted([row]) == 0
    (found,) = history.jobs()
    assert (found.job, found.result, found.queued_at) == ("build", "failure", NOON - 5)
    assert history.add_hosted([{**row, "started_at": "2027-01-15T09:00:00Z"}]) == 1


def test_sums_are_those_of_the_jobs_and_of_the_older_history(history: History) -> None:
    results = ["success", "failure", "cancelled", ""]
    for index, result in enumerate(results):
        history.started(record(run_id=index, at=NOON + index))
        history.completed(ended(run_id=index, at=NOON + index + 10, result=result))
    history.add_hosted([hosted()])
    own = Aggregate("build", "self_hosted", 2, 1, 20.0, 2, NOON + 11)
    cloud = Aggregate("build", "cloud", 1, 1, 300.0, 1, NOON + 300)
    assert history.summaries() == [cloud, own]
    old = Aggregate("build", "cloud", 9, 8, 2700.0, 9, NOON - HOUR)
    history.add_aggregates([old])
    history.add_aggregates([old])
    assert history.summaries() == [Aggregate("build", "cloud", 10, 9, 3000.0, 10, NOON + 300), own]
    assert history.summaries(job="build") == history.summaries()
    assert history.summaries(since=NOON - 1) == [cloud, own]
    assert history.summaries(since=NOON + 1) == [Aggregate("build", "self_hosted", 1, 0, 10.0, 1, NOON + 11)]


def test_ten_thousand_jobs_are_all_there_and_add_up(history: History) -> None:
    records = []
    for index in range(10_000):
        at = NOON + 100 * index
        records.append(checked(record(run_id=index, at=at)))
        result = "success" if index % 10 else "failure"
        records.append(checked(ended(run_id=index, at=at + index % 90, result=result)))
    assert history.add(records) == 20_000
    assert history.add(records) == 0
    (sums,) = history.summaries()
    whole = summary(history.jobs(limit=20_000))
    assert (sums.total_runs, sums.successful_runs) == (whole.total, whole.successes) == (10_000, 9_000)
    assert sums.avg_duration == pytest.approx(whole.mean_seconds)


def test_too_many_jobs_cost_the_busiest_instance_its_oldest(path: str) -> None:
    with History(path, most_jobs=100, most_days=100_000) as history:
        history.add([checked(record(run_id=n, instance="quiet", at=NOON + n)) for n in range(10)])
        history.add([checked(record(run_id=n, instance="flood", at=NOON * 2 + n)) for n in range(500)])
        found = history.jobs()
    assert len(found) <= 100
    assert sum(job.instance == "quiet" for job in found) == 10
    assert max(job.run_id for job in found) == 499


def test_old_jobs_go_with_the_next_that_comes(path: str) -> None:
    now = time.time()
    with History(path, most_days=30) as history:
        history.add([checked(record(run_id=n, at=now - (28 + n) * 86400)) for n in range(5)])
        assert sorted(job.run_id for job in history.jobs()) == [0, 1]


def test_a_clock_that_jumped_ahead_takes_little_of_the_history_away(path: str) -> None:
    with History(path, most_days=100_000) as history:
        history.add([checked(record(run_id=n, at=NOON + n)) for n in range(1000)])
    with History(path, most_days=(time.time() - NOON - HOUR) / 86400) as history:
        history.started(record(run_id=5000, at=NOON + 50_000))
        assert len(history.jobs(limit=5000)) > 850


def test_the_columns_are_those_of_a_job(history: History, path: str) -> None:
    history.started(record())
    connection = sqlite3.connect(path)
    columns = connection.execute("SELECT name FROM pragma_table_info('jobs')").fetchall()
    connection.close()
    assert [name for (name,) in columns] == ["id", *Job._fields, "began", "foretold"]
