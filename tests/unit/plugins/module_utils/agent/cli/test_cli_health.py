"""``runnerctl health`` as a process: its output, its file and its exit codes."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests._support.installed_agent import Agent

FIT: dict[str, Any] = {
    "timestamp": "2026-03-01T09:30:00Z",
    "cpu_count": 12,
    "load_1m": 0.5,
    "memory_used_percent": 20.0,
    "disk_used_percent": 30.0,
    "active_jobs": 0,
    "listeners": 1,
    "model_cache_available": True,
    "instances": [],
    "unavailable": [],
}


class Host:
    """An agent with a sample of the test."""

    def __init__(self, agent: Agent, url: str) -> None:
        self.agent = agent
        self.run_dir = Path(agent.paths.health).parent
        for path in ("config", "runners"):
            (agent.root / path).mkdir()
        self.url = url
        self.configure()

    def configure(self, **policy: Any) -> None:
        config = {"host": "laptop", "github_url": self.url, "policy": policy}
        (self.agent.root / "config/agent.json").write_text(json.dumps(config))

    def sampled(self, **changes: Any) -> None:
        (self.run_dir / "sample.json").write_text(json.dumps({**FIT, **changes}))

    def health(self, *words: str, status: int = 0) -> str:
        return self.agent.run("health", *words, status=status).stdout

    def published(self, *, bad: bool) -> dict[str, Any]:
        self.sampled(load_1m=99.0 if bad else 0.5, disk_used_percent=99 if bad else 5)
        self.health("--publish")
        document: dict[str, Any] = json.loads((self.run_dir / "health.json").read_text())
        return document


@pytest.fixture
def host(agent: Agent) -> Iterator[Host]:
    """A fit host with a GitHub that can be reached."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Host(agent, f"http://127.0.0.1:{server.getsockname()[1]}")
        made.sampled()
        yield made


def test_health_of_a_fit_host_is_healthy(host: Host) -> None:
    assert host.health() == "100 of 100: healthy, use-self-hosted\n"
    assert host.health("--score") == "100\n"
    assert host.health("--check") == "EXCELLENT\n"


def test_health_explains_every_penalty(host: Host) -> None:
    host.sampled(load_1m=9.3, active_jobs=2)
    assert host.health(status=1).splitlines() == [
        "50 of 100: degraded, use-self-hosted-with-caution",
        "  -40: load over one minute is 9.3, above 8",
        "  -10: running jobs is 2, above 1",
    ]


@pytest.mark.parametrize(
    ("changes", "score_status", "check_status"),
    [
        ({}, 0, 0),
        ({"load_1m": 6.5}, 0, 1),
        ({"load_1m": 8.5}, 1, 1),
        ({"load_1m": 10.5, "memory_used_percent": 95.0}, 2, 1),
        ({"load_1m": 10.5, "memory_used_percent": 95.0, "listeners": 0}, 2, 2),
    ],
)
def test_health_exit_code_equals_the_verdict(
    host: Host, changes: dict[str, Any], score_status: int, check_status: int
) -> None:
    host.sampled(**changes)
    assert json.loads(host.health("--json", status=score_status))["verdict"]
    document = json.loads(host.health("--check", "--json", status=check_status))
    assert document["exit_code"] == check_status


def test_health_penalizes_an_unreachable_probe_url(host: Host) -> None:
    there, host.url = host.url, "http://127.0.0.1:1"
    host.configure()
    assert "-20: GitHub reachable: no" in host.health()
    host.configure(probe={"url": there})
    assert host.health("--score") == "100\n"


def test_health_without_a_sampler_takes_a_sample(host: Host) -> None:
    (host.run_dir / "sample.json").unlink()
    document = json.loads(host.agent.run("health", "--check", "--json", status=1).stdout)
    assert document["findings"][-1]["signal"] == "listeners"


def test_health_policy_adds_signals_of_this_machine(host: Host) -> None:
    host.configure(also=["oom_kills", "listeners_dead", "cache_damaged"])
    host.sampled(instances=[{"name": "a", "unit_active": True, "listener_pid": None, "busy": False}])
    assert "-30: services without a listener is 1, above 0" in host.health(status=1)


def test_health_reports_a_wrong_policy_in_one_sentence(host: Host) -> None:
    host.configure(penalties={"lod": []})
    done = host.agent.run("health", status=3)
    assert "unknown signal 'lod' under 'penalties'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_health_verdict_changes_after_three_equal_checks(host: Host) -> None:
    first = host.published(bad=False)
    assert (first["verdict"], first["score"], first["host"]) == ("healthy", 100, "laptop")
    row = [host.published(bad=True) for _ in range(3)]
    assert [check["verdict"] for check in row] == ["healthy", "healthy", "unhealthy"]
    assert [check["consecutive_failures"] for check in row] == [1, 2, 3]
    assert {check["score"] for check in row} == {40}
    assert row[2]["runs_on"] == ["ubuntu-latest"]
    back = [host.published(bad=False)["verdict"] for _ in range(3)]
    assert back == ["unhealthy", "unhealthy", "healthy"]


def test_health_publish_prints_only_a_new_verdict(host: Host) -> None:
    assert host.health("--publish") == "healthy (was not known): nothing is wrong\n"
    assert host.health("--publish") == ""


def test_health_json_has_an_expiry_time(host: Host) -> None:
    host.configure(valid_seconds=600)
    document = host.published(bad=False)
    observed, expires = (
        time.mktime(time.strptime(document[key], "%Y-%m-%dT%H:%M:%SZ"))
        for key in ("observed_at", "expires_at")
    )
    assert expires - observed == 600


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"boot_id": 5}', "null", '{"state": {"verdict": 5}}'])
def test_health_ignores_a_damaged_state(host: Host, damaged: str) -> None:
    (host.run_dir / "health-state.json").write_text(damaged)
    assert host.published(bad=True)["verdict"] == "unhealthy"


def test_health_json_stays_when_publishing_fails(host: Host) -> None:
    before = host.published(bad=False)
    state = Path(host.run_dir / "health-state.json")
    state.unlink()
    state.mkdir()  # nothing can be renamed over a directory
    done = host.agent.run("health", "--publish", status=3)
    assert "Publishing the health of this host failed" in done.stderr
    assert json.loads((host.run_dir / "health.json").read_text()) == before
    assert sorted(path.name for path in host.run_dir.iterdir()) == [
        "health-state.json",
        "health.json",
        "sample.json",
    ]
