from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.jobs import (
    Job,
    RecordError,
    checked,
)
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.statistics import summary
from ansible_collections.coldvox.ci.plugins.module_utils.health.dispatch import JobSums

from tests._support.job_records import NOON, completed, ended, hosted, record, started

HOUR = 3600.0


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "history.db")


@pytest.fixture
def history(path: str) -> Iterator[History]:
    # Whenever the tests run, none of their jobs is too old.
    with History(path, most_days=100_000) as opened:
        yield opened


def test_history_stores_a_job_from_its_start_and_end_records(history: History) -> None:
    assert started(history, record(repository="o/r", workflow="CI", **{"class": "heavy"}, queued_at=NOON - 9))
    (running,) = history.jobs()
    assert (running.running, running.result, running.completed_at) == (True, "", None)
    assert completed(history, ended(90, peak_memory_bytes=5, cpu_seconds=1.5, cache_hits=3, cache_misses=1))
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


def test_history_adds_a_repeated_record_once(history: History) -> None:
    added = [started(history, record()), started(history, record()), completed(history, ended())]
    added += [completed(history, ended()), started(history, record())]
    assert added == [True, False, True, False, False]
    assert len(history.jobs()) == 1


def test_history_keeps_jobs_of_a_matrix_on_the_same_runner_apart(history: History) -> None:
    for index in range(3):
        started(history, record(at=NOON + index * 100))
        completed(history, ended(10, at=NOON + index * 100 + 10))
    assert [job.duration_seconds for job in history.jobs()] == [10, 10, 10]


def test_history_jobs_are_sorted_and_selected_by_limit_time_and_name(history: History) -> None:
    for index, name in enumerate(["lint", "build", "build (beta)", "build_all", "builder"]):
        started(history, record(job=name, run_id=index, at=NOON + index))
        completed(history, ended(job=name, run_id=index, at=NOON + 60))
    assert [job.run_id for job in history.jobs()] == [4, 3, 2, 1, 0]
    assert [job.run_id for job in history.jobs(limit=2)] == [4, 3]
    assert [job.run_id for job in history.jobs(since=NOON + 3)] == [4, 3]
    assert [job.job for job in history.jobs(job="build")] == ["build (beta)", "build"]
    assert [job.job for job in history.jobs(job="build", since=NOON + 2)] == ["build (beta)"]
    assert [sums.job for sums in history.summaries(job="build")] == ["build", "build (beta)"]
    assert history.jobs(job="' OR 1 --") == history.jobs(job="\ud800") == []


def test_history_keeps_an_end_without_a_start_record_and_no_duration(history: History) -> None:
    assert completed(history, ended())
    assert not completed(history, ended())
    (job,) = history.jobs()
    assert (job.started_at, job.duration_seconds, job.result) == (None, None, "success")
    assert job.began == NOON + 60


def test_history_has_no_duration_when_the_clock_went_back(history: History) -> None:
    started(history, record())
    completed(history, ended(-HOUR))
    (job,) = history.jobs()
    assert (job.duration_seconds, job.result, job.running) == (None, "success", False)
    assert history.summaries()[0][2:6] == (1, 1, 0.0, 0)


def test_history_marks_a_job_lost_when_its_runner_begins_another(history: History) -> None:
    started(history, record(run_id=1))
    started(history, record(run_id=1, instance="other"))
    started(history, record(run_id=2, at=NOON + 5))
    assert {(job.instance, job.run_id): job.result for job in history.jobs()} == {
        ("laptop", 1): "lost",
        ("laptop", 2): "",
        ("other", 1): "",
    }
    completed(history, ended(run_id=1, result="failure"))  # its end was only late
    assert [job.result for job in history.jobs() if job.instance == "laptop"] == ["", "failure"]


def test_history_refuses_a_wrong_record_and_changes_nothing(history: History) -> None:
    with pytest.raises(RecordError, match="'job' is missing"):
        started(history, record(job=""))
    assert history.jobs() == []


def test_add_hosted_adds_a_job_once(history: History) -> None:
    rows = [hosted(), hosted(run_id=10, result=None), hosted(run_id=11, result="failure")]
    assert history.add_hosted(rows) == 2
    assert history.add_hosted(rows) == 0
    assert {(job.kind, job.run_id) for job in history.jobs()} == {("cloud", 9), ("cloud", 11)}


def test_add_hosted_adds_nothing_when_a_row_is_wrong(history: History) -> None:
    with pytest.raises(RecordError):
        history.add_hosted([hosted(), hosted(hosted=None)])
    assert history.jobs() == []


def test_add_hosted_completes_the_hooks_record_of_a_job(history: History) -> None:
    started(history, record(job="build", run_id=9))
    completed(history, ended(300, job="build", run_id=9, result=""))
    row = hosted(hosted=False, runner_name="laptop", name="Build it", result="failure")
    assert history.add_hosted([row]) == 0
    assert history.add_hosted([row]) == 0
    (job,) = history.jobs()
    assert (job.job, job.result, job.queued_at) == ("build", "failure", NOON - 5)
    assert history.add_hosted([{**row, "started_at": "2026-01-15T09:00:00Z"}]) == 1


def test_history_summaries_add_jobs_and_the_older_history(history: History) -> None:
    results = ["success", "failure", "cancelled", ""]
    for index, result in enumerate(results):
        started(history, record(run_id=index, at=NOON + index))
        completed(history, ended(run_id=index, at=NOON + index + 10, result=result))
    history.add_hosted([hosted()])
    own = JobSums("build", "self_hosted", 2, 1, 20.0, 2, NOON + 11)
    cloud = JobSums("build", "cloud", 1, 1, 300.0, 1, NOON + 300)
    assert history.summaries() == [cloud, own]
    old = JobSums("build", "cloud", 9, 8, 2700.0, 9, NOON - HOUR)
    history.add_sums([old])
    history.add_sums([old])
    assert history.summaries() == [JobSums("build", "cloud", 10, 9, 3000.0, 10, NOON + 300), own]
    assert history.summaries(job="build") == history.summaries()
    assert history.summaries(since=NOON - 1) == [cloud, own]
    assert history.summaries(since=NOON + 1) == [JobSums("build", "self_hosted", 1, 0, 10.0, 1, NOON + 11)]


def test_history_summaries_of_ten_thousand_jobs_agree_with_summary(history: History) -> None:
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


def test_history_above_its_limit_deletes_the_busiest_instances_oldest_jobs(path: str) -> None:
    with History(path, most_jobs=100, most_days=100_000) as history:
        history.add([checked(record(run_id=n, instance="quiet", at=NOON + n)) for n in range(10)])
        history.add([checked(record(run_id=n, instance="flood", at=NOON * 2 + n)) for n in range(500)])
        jobs = history.jobs()
    assert len(jobs) <= 100
    assert sum(job.instance == "quiet" for job in jobs) == 10
    assert max(job.run_id for job in jobs) == 499


def test_history_deletes_old_jobs_when_a_job_is_added(path: str) -> None:
    now = time.time()
    with History(path, most_days=30) as history:
        history.add([checked(record(run_id=n, at=now - (28 + n) * 86400)) for n in range(5)])
        assert sorted(job.run_id for job in history.jobs()) == [0, 1]


def test_history_loses_few_jobs_when_the_clock_jumps_ahead(path: str) -> None:
    with History(path, most_days=100_000) as history:
        history.add([checked(record(run_id=n, at=NOON + n)) for n in range(1000)])
    with History(path, most_days=(time.time() - NOON - HOUR) / 86400) as history:
        started(history, record(run_id=5000, at=NOON + 50_000))
        assert len(history.jobs(limit=5000)) > 850


def test_history_columns_are_the_fields_of_a_job(history: History, path: str) -> None:
    started(history, record())
    connection = sqlite3.connect(path)
    columns = connection.execute("SELECT name FROM pragma_table_info('jobs')").fetchall()
    connection.close()
    assert [name for (name,) in columns] == ["id", *Job._fields, "began", "foretold"]
