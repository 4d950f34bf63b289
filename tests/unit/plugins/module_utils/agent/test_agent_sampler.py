"""The sampler with a machine that the test invents and a real disk."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.sampler import (
    Journal,
    Sampler,
    fresh_sample,
    serve,
)
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.directories import read_json
from ansible_collections.coldvox.ci.plugins.module_utils.host.paths import Paths
from ansible_collections.coldvox.ci.plugins.module_utils.host.systemd import Notifier
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import csv_log
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.sample import Series

from tests.unit.plugins.module_utils.metrics.test_metrics_sample import TARGET, Machine


class Host:
    """A sampler whose directories are in a test's own."""

    def __init__(self, root: Path, ingest: Callable[[], None] | None = None) -> None:
        self.places = Paths(run=str(root / "run"), state=str(root / "state"))
        (root / "run/agent").mkdir(parents=True)
        (root / "state/metrics").mkdir(parents=True)
        self.machine = Machine()
        self.said: list[str] = []
        self.sampler = Sampler(
            Series(TARGET, self.machine.sources()),
            self.places,
            Journal(self.said.append),
            ingest,
            clock=lambda: self.machine.elapsed,
        )

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.machine.elapsed += 5
            self.sampler.tick()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_sampler_writes_three_files_each_tick(host: Host) -> None:
    host.tick(3)
    sample = read_json(host.places.sample) or {}
    assert sample["timestamp"] == "2026-03-01T09:30:15Z"
    assert len(list(csv_log.read(host.places.samples))) == 3
    assert "coldvox_ci_load1 4.5" in Path(host.places.prometheus).read_text(encoding="utf-8")
    assert host.said == []


def test_sampler_writes_the_published_score_for_prometheus(host: Host) -> None:
    Path(host.places.health).write_text('{"score": 61}', encoding="utf-8")
    host.tick()
    assert "coldvox_ci_health_score 61" in Path(host.places.prometheus).read_text(encoding="utf-8")


def test_sampler_logs_a_failed_write_once_and_goes_on(host: Host, tmp_path: Path) -> None:
    (tmp_path / "state/metrics").rename(tmp_path / "state/away")
    host.tick(20)
    assert [line.split(":")[0] for line in host.said] == ["<4>samples.csv", "<4>Prometheus"]
    assert read_json(host.places.sample)
    (tmp_path / "state/away").rename(tmp_path / "state/metrics")
    host.tick()
    assert host.said[2:] == ["<5>samples.csv: works again", "<5>Prometheus: works again"]


def test_sampler_logs_an_alert_at_its_beginning_and_end(host: Host) -> None:
    host.machine.load = 9.5
    sampler = Sampler(
        Series(TARGET, host.machine.sources()), host.places, Journal(host.said.append), clock=lambda: 0.0
    )
    for _ in range(50):
        sampler.tick()
    host.machine.load = 0.5
    for _ in range(50):
        sampler.tick()
    assert host.said == [
        "<4>load over one minute is 9.5, above 8",
        "<5>load over one minute is 0.5 again, no longer above 8",
    ]


def test_sampler_ingests_history_records_once_a_minute(tmp_path: Path) -> None:
    taken: list[int] = []
    host = Host(tmp_path, ingest=lambda: taken.append(1))
    host.tick(25)  # a little more than two minutes
    assert len(taken) == 3


def test_sampler_goes_on_when_the_history_fails(tmp_path: Path) -> None:
    def fail() -> None:
        raise CiError("the database is locked; wait.")

    host = Host(tmp_path, ingest=fail)
    host.tick(30)
    assert host.said == ["<4>history: the database is locked; wait."]
    assert len(list(csv_log.read(host.places.samples))) == 30


def served(host: Host, interval: float, ticks: int, waking: Mapping[int, float] | None = None) -> list[float]:
    """Serve ``ticks`` samples and return the wait after each.

    ``waking`` are sleeps of the machine.
    """
    waits: list[float] = []
    clock = {"now": 0.0}

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        clock["now"] += max(seconds, 0) + (waking or {}).get(len(waits), 0.0)
        return len(waits) == ticks

    serve(host.sampler, interval, Notifier({}), wait, clock=lambda: clock["now"])
    return waits


def test_serve_keeps_the_rate_of_samples(host: Host) -> None:
    assert served(host, 5, 4) == [5, 5, 5, 5]


def test_serve_does_not_make_up_for_a_sleep_of_hours(host: Host) -> None:
    assert served(host, 5, 4, {2: 8 * 3600.0}) == [5, 5, 0, 5]


def test_serve_notifies_systemd(host: Host, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(30)
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        waits = iter([False, True])
        serve(host.sampler, 5, notifier, lambda _seconds: next(waits))
        first, second, last = (listener.recv(4096).decode() for _ in range(3))
    assert first.splitlines()[:2] == ["READY=1", "WATCHDOG=1"]
    assert second.splitlines()[0] == "WATCHDOG=1"
    assert "STATUS=load 4.5" in second
    assert last == "STOPPING=1"


def test_notifier_survives_a_missing_socket_and_takes_an_abstract_one(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nowhere")}).send("READY=1")
    name = f"@coldvox-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name[1:])
        listener.settimeout(30)
        Notifier({"NOTIFY_SOCKET": name}).send("READY=1")
        assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    ("age", "content", "returned"),
    [
        (5, {"timestamp": "t"}, True),
        (21, {"timestamp": "t"}, False),
        (-5, {"timestamp": "t"}, False),  # the clock went back
        (5, {}, False),
        (5, [], False),
    ],
)
def test_fresh_sample_returns_only_a_fresh_one(
    tmp_path: Path, age: float, content: Any, returned: bool
) -> None:
    paths = Paths(run=str(tmp_path))
    path = Path(paths.sample)
    path.parent.mkdir()
    path.write_text(json.dumps(content), encoding="utf-8")
    assert (fresh_sample(paths, 20, path.stat().st_mtime + age) is not None) is returned
    assert fresh_sample(Paths(run=str(tmp_path / "missing")), 20, 0) is None
