"""``runnerctl health`` as a process: what it judges, says, publishes, and how it ends."""

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
    """An agent whose sampler has just said what a test wants it to say."""

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
        found: dict[str, Any] = json.loads((self.run_dir / "health.json").read_text())
        return found


@pytest.fixture
def host(agent: Agent) -> Iterator[Host]:
    """A fit host with a GitHub that can be reached."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Host(agent, f"http://127.0.0.1:{server.getsockname()[1]}")
        made.sampled()
        yield made


def test_a_fit_host_is_healthy(host: Host) -> None:
    assert host.health() == "100 of 100: healthy, use-self-hosted\n"
    assert host.health("--score") == "100\n"
    assert host.health("--check") == "EXCELLENT\n"


def test_every_penalty_is_explained(host: Host) -> None:
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
def test_the_exit_code_says_it_too(
    host: Host, changes: dict[str, Any], score_status: int, check_status: int
) -> None:
    host.sampled(**changes)
    assert json.loads(host.health("--json", status=score_status))["verdict"]
    found = json.loads(host.health("--check", "--json", status=check_status))
    assert found["exit_code"] == check_status


def test_an_unreachable_github_costs_and_the_probe_can_be_pointed_elsewhere(host: Host) -> None:
    there, host.url = host.url, "http://127.0.0.1:1"
    host.configure()
    assert "-20: GitHub reachable: no" in host.health()
    host.configure(probe={"url": there})
    assert host.health("--score") == "100\n"


def test_without_a_sampler_the_host_is_looked_at(host: Host) -> None:
    (host.run_dir / "sample.json").unlink()
    found = json.loads(host.agent.run("health", "--check", "--json", status=1).stdout)
    assert found["findings"][-1]["signal"] == "listeners"


def test_a_policy_adds_signals_of_this_machine(host: Host) -> None:
    host.configure(also=["oom_kills", "listeners_dead", "cache_damaged"])
    host.sampled(instances=[{"name": "a", "unit_active": True, "listener_pid": None, "busy": False}])
    assert "-30: services without a listener is 1, above 0" in host.health(status=1)


def test_a_policy_that_makes_no_sense_is_one_sentence(host: Host) -> None:
    host.configure(penalties={"lod": []})
    done = host.agent.run("health", status=3)
    assert "unknown signal 'lod' under 'penalties'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_verdict_moves_when_three_checks_agree(host: Host) -> None:
    first = host.published(bad=False)
    assert (first["verdict"], first["score"], first["host"]) == ("healthy", 100, "laptop")
    row = [host.published(bad=True) for _ in range(3)]
    assert [one["verdict"] for one in row] == ["healthy", "healthy", "unhealthy"]
    assert [one["consecutive_failures"] for one in row] == [1, 2, 3]
    assert {one["score"] for one in row} == {40}
    assert row[2]["runs_on"] == ["ubuntu-latest"]
    back = [host.published(bad=False)["verdict"] for _ in range(3)]
    assert back == ["unhealthy", "unhealthy", "healthy"]


def test_only_a_new_verdict_is_worth_a_line(host: Host) -> None:
    assert host.health("--publish") == "healthy (was not known): nothing is wrong\n"
    assert host.health("--publish") == ""


def test_what_is_published_ends(host: Host) -> None:
    host.configure(valid_seconds=600)
    found = host.published(bad=False)
    observed, expires = (
        time.mktime(time.strptime(found[key], "%Y-%m-%dT%H:%M:%SZ")) for key in ("observed_at", "expires_at")
    )
    assert expires - observed == 600


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"boot_id": 5}', "null", '{"state": {"verdict": 5}}'])
def test_a_damaged_state_is_a_first_check(host: Host, damaged: str) -> None:
    (host.run_dir / "health-state.json").write_text(damaged)
    assert host.published(bad=True)["verdict"] == "unhealthy"


def test_a_full_disk_leaves_what_was_published(host: Host) -> None:
    before = host.published(bad=False)
    state = Path(host.run_dir / "health-state.json")
    state.unlink()
    state.mkdir()  # nothing can be renamed over a directory
    done = host.agent.run("health", "--publish", status=3)
    assert "publishing the health of this host failed" in done.stderr
    assert json.loads((host.run_dir / "health.json").read_text()) == before
    assert sorted(path.name for path in host.run_dir.iterdir()) == [
        "health-state.json",
        "health.json",
        "sample.json",
    ]
