"""``runnerctl history``, ``decide`` and ``advice`` as processes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.endings import Ending, leave

from tests._support.installed_agent import NOBODY, Agent
from tests._support.job_records import ended, hosted, put, record

HOUR = 3600.0
CALM: dict[str, Any] = {
    "timestamp": "2026-01-15T08:00:00Z",
    "load_1m": 0.5,
    "memory_used_percent": 20.0,
    "active_jobs": 0,
}


@pytest.fixture
def host(agent: Agent) -> Agent:
    """An agent with its directories, and a sampler that has just seen a calm machine."""
    for name in ("run/jobs", "runners"):
        (agent.root / name).mkdir(parents=True)
    sampled(agent, **CALM)
    return agent


def sampled(agent: Agent, age_seconds: float = 0, **sample: Any) -> Path:
    path = Path(agent.paths.sample)
    path.write_text(json.dumps(sample))
    os.utime(path, (time.time() - age_seconds,) * 2)
    return path


def spool(agent: Agent) -> Path:
    return agent.root / "run/jobs"


def ran(agent: Agent, number: int, seconds: float, hours_ago: float, **fields: Any) -> None:
    """Write the records of the hooks for a job, and its result."""
    began = time.time() - hours_ago * HOUR
    result = fields.pop("result", "success")
    put(spool(agent), record(run_id=number, at=began, **fields), number)
    put(spool(agent), ended(run_id=number, at=began + seconds, **fields), number)
    (agent.root / "run" / "results").mkdir(exist_ok=True)
    leave(str(agent.root / "run"), Ending("laptop", began, began + seconds, result))


def answer(agent: Agent, *words: str, status: int = 0) -> Any:
    return json.loads(agent.run(*words, "--json", status=status).stdout)


def test_history_of_a_host_without_jobs(host: Agent) -> None:
    assert host.run("history").stdout == "no job is recorded\n"
    assert answer(host, "history")["jobs"] == []


def test_history_ingests_and_lists_jobs(host: Agent) -> None:
    ran(host, 1, 75, 5)
    ran(host, 2, 4000, 4, job="lint", result="success")
    put(spool(host), record(run_id=3, at=time.time()), 3)
    lines = host.run("history").stdout.splitlines()
    assert lines[0].split() == ["BEGAN", "JOB", "RUNNER", "RUN", "RESULT", "TOOK"]
    assert [line.split()[2:] for line in lines[1:4]] == [
        ["build", "laptop", "3/1", "running", "-"],
        ["lint", "laptop", "2/1", "success", "1", "h", "06", "min"],
        ["build", "laptop", "1/1", "success", "1", "min", "15", "s"],
    ]
    assert lines[4] == ("3 jobs, 100 % of 2 succeeded; half took at most 1 min 15 s, 90 % at most 1 h 06 min")
    assert list(spool(host).glob("*/*")) == []


def test_history_filters_by_name_number_and_time(host: Agent) -> None:
    for number in range(6):
        ran(host, number, 60, hours_ago=2 + number * 24, job="build" if number % 2 else "lint")

    def numbers(*words: str) -> list[int]:
        return [job["run_id"] for job in answer(host, "history", *words)["jobs"]]

    assert numbers() == [0, 1, 2, 3, 4, 5]
    assert numbers("--limit", "2") == [0, 1]
    assert numbers("build") == [1, 3, 5]
    assert numbers("--since", "60h") == numbers("--since", "3600m") == [0, 1, 2]
    assert numbers("build", "--since", "4d") == [1, 3]
    assert numbers("--since", "2099-01-01") == numbers("nonesuch") == []
    assert numbers("--since", "2001-01-01T00:00:00Z", "--limit", "1") == [0]


@pytest.mark.parametrize(
    "words", [("--since", "yesterday"), ("--since", "-3h"), ("--limit", "0"), ("--limit", "x"), ("a", "b")]
)
def test_history_refuses_a_wrong_call(host: Agent, words: tuple[str, ...]) -> None:
    host.run("history", *words, status=2)


def test_history_reports_regressions(host: Agent) -> None:
    for number, seconds in enumerate([100, 100, 100, 100, 100, 151]):
        ran(host, number, seconds, hours_ago=30 - number)
    done = host.run("history", status=1)
    assert done.stdout.splitlines()[-1] == "alert: 'build' took 151 s the last time, usually 100 s"
    ran(host, 9, 10, hours_ago=1, job="lint", result="failure")
    regressions = answer(host, "history", status=1)["regressions"]
    assert [(each["level"], each["kind"], each["job"]) for each in regressions] == [
        ("roll back", "success", ""),
        ("alert", "duration", "build"),
    ]


def test_history_removes_control_characters_from_names(host: Agent) -> None:
    ran(host, 1, 5, 1, job="\x1b[2J\x1b]0;owned\x07\r\n🚀=1+1" + "x" * 10_000)
    put(spool(host), record()).write_text("\x1b[31m")
    done = host.run("history")
    assert len(done.stdout.splitlines()) == 3
    assert all(line.isprintable() for line in (done.stdout + done.stderr).splitlines())
    assert "🚀" in done.stdout
    assert "it is not JSON" in done.stderr


@pytest.mark.parametrize("wrapped", [False, True])
def test_history_imports_hosted_jobs(host: Agent, wrapped: bool) -> None:
    rows = [hosted(), hosted(run_id=10, result="failure")]
    source = host.root / "hosted.json"
    source.write_text(json.dumps({"runs": [], "jobs": rows, "changed": False} if wrapped else rows))
    assert answer(host, "history", "--import", str(source))["imported"] == 2
    done = host.run("history", "--import", str(source))
    assert done.stdout.splitlines()[-1] == f"0 new entries imported from {source}"


def test_decide_uses_the_imported_history_of_older_scripts(host: Agent) -> None:
    def known(runs: int, good: int, seconds: int) -> dict[str, int]:
        return {"total_runs": runs, "successful_runs": good, "total_duration": seconds}

    source = host.root / "old.json"
    source.write_text(
        json.dumps({"build": {"self_hosted": known(10, 1, 9000), "cloud": known(10, 10, 3000)}})
    )
    assert answer(host, "history", "--import", str(source))["imported"] == 2
    answered = answer(host, "decide", "build", status=1)
    points = {factor["factor"]: factor["points"] for factor in answered["factors"]}
    assert (points["success_rate"], points["avg_duration"]) == (-36, -20)
    assert answer(host, "decide", "other")["factors"][0]["points"] == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("3", "cannot be imported (it is neither a list nor an object)"),
        ('[{"name": "x"}]', "cannot be imported ('hosted' is missing)"),
        ('{"build": {"local": {}}}', "'build' has other entries than self_hosted and cloud"),
    ],
)
def test_history_reports_a_failed_import_in_one_sentence(
    host: Agent, content: str | None, message: str
) -> None:
    source = host.root / "source.json"
    if content is not None:
        source.write_text(content)
    done = host.run("history", "--import", str(source), status=3)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_history_is_read_only_for_other_users(host: Agent) -> None:
    ran(host, 1, 5, 1)
    host.run("history")
    ran(host, 2, 5, 1)
    source = host.root / "hosted.json"
    source.write_text(json.dumps([hosted()]))
    assert len(json.loads(host.run("history", "--json", user=NOBODY).stdout)["jobs"]) == 1
    assert len(list(spool(host).glob("*/*"))) == 2
    refused = host.run("history", "--import", str(source), user=NOBODY, status=3)
    assert "may be written only by its owner and by root" in refused.stderr
    host.run("decide", "build", user=NOBODY)
    host.run("advice", user=NOBODY)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("words", [["history"], ["decide", "build"]])
def test_history_of_a_closed_directory_says_who_may_read_it(host: Agent, words: list[str]) -> None:
    """Jobs may not read it, because a process that can read a database can lock it."""
    host.run("history")
    directory = Path(host.paths.history).parent
    directory.chmod(0o750)
    os.chown(directory, 0, NOBODY - 1)
    refused = host.run(*words, user=NOBODY, status=3)
    assert "cannot be read (Permission denied); run as root, or as a member of the group" in refused.stderr
    with host.spawn(str(host.command), "history", user=NOBODY - 1) as member:
        assert member.wait(30) == 0


def test_history_reports_a_damaged_database_once(host: Agent) -> None:
    Path(host.paths.history).write_bytes(b"x" * 8192)
    assert "was damaged; it is kept as" in host.run("history").stderr
    assert host.run("history").stderr == ""


def test_history_shows_jobs_when_the_spool_is_unreadable(host: Agent) -> None:
    ran(host, 1, 5, 1)
    host.run("history")
    spool(host).joinpath("laptop").rmdir()
    spool(host).rmdir()
    spool(host).write_text("")
    done = host.run("history")
    assert "cannot be listed (Not a directory)" in done.stderr
    assert "1 job, 100 % of 1 succeeded" in done.stdout


def calm_decision(hour: int) -> int:
    return 2 + 11 + 20 + 10 - (10 if 9 <= hour <= 17 else 0)


def test_decide_prints_its_reasons(host: Agent) -> None:
    hours = {time.localtime().tm_hour}
    done = host.run("decide", "build").stdout.splitlines()
    answered = answer(host, "decide", "build")
    hours.add(time.localtime().tm_hour)
    assert answered["score"] in {calm_decision(hour) for hour in hours}
    assert (answered["job"], answered["recommendation"], answered["confidence"]) == (
        "build",
        "use-self-hosted",
        "HIGH",
    )
    assert done[0].startswith("use-self-hosted (score ")
    assert done[1].split() == ["FACTOR", "VALUE", "POINTS"]
    assert done[2].split(None, 1) == ["success_rate", "100 here, 95 in the cloud   +2"]


def test_decide_without_a_history_says_that_it_assumes(host: Agent) -> None:
    answered = answer(host, "decide", "never-ran")
    assert (answered["confidence"], answered["assumed"]) == ("LOW", ["self_hosted", "cloud"])
    said = host.run("decide", "never-ran").stdout
    assert said.endswith("No run of never-ran is known here and in the cloud: the values are assumptions.\n")


def test_decide_sends_jobs_of_a_busy_host_away(host: Agent) -> None:
    sampled(host, load_1m=9.0, memory_used_percent=95.0, active_jobs=4)
    assert answer(host, "decide", "build", status=1)["recommendation"] == "force-cloud-fallback"


def test_decide_shows_an_unread_value_as_unknown(host: Agent) -> None:
    sampled(host, load_1m=None, memory_used_percent=None, active_jobs=None)
    assert "load_1m              unknown" in host.run("decide", "build").stdout


@pytest.mark.parametrize(
    ("sample", "words", "advice", "status"),
    [
        ({"load_1m": 8.0, "active_jobs": 2}, (), "ready", 0),
        ({"load_1m": 8.1, "active_jobs": 2}, (), "throttle", 1),
        ({"load_1m": 1.0, "active_jobs": 3}, (), "busy", 1),
        ({"load_1m": 1.0, "active_jobs": 3}, ("--max-concurrent", "4"), "ready", 0),
        ({"load_1m": 1.0, "active_jobs": 1}, ("--max-concurrent", "1"), "busy", 1),
    ],
)
def test_advice_is_one_word_and_an_exit_code(
    host: Agent, sample: dict[str, Any], words: tuple[str, ...], advice: str, status: int
) -> None:
    sampled(host, **sample)
    assert host.run("advice", *words, status=status).stdout == f"{advice}\n"
    assert answer(host, "advice", *words, status=status)["advice"] == advice


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text("{"),
        lambda path: path.write_text("[]"),
        lambda path: os.utime(path, (0, 0)),
    ],
    ids=["missing", "broken", "no sample", "old"],
)
def test_advice_without_a_sampler_takes_a_sample(host: Agent, spoil: Callable[[Path], Any]) -> None:
    # As it is, the host would be throttled; the machine of the test has no runner at work.
    spoil(sampled(host, load_1m=99.0, active_jobs=99))
    answered = answer(host, "advice")
    assert (answered["advice"], answered["active_jobs"]) == ("ready", 0)
    assert answered["load_1m"] >= 0


@pytest.mark.parametrize("words", [("--max-concurrent", "0"), ("--max-concurrent", "many"), ("x",)])
def test_advice_refuses_a_wrong_call(host: Agent, words: tuple[str, ...]) -> None:
    host.run("advice", *words, status=2)
