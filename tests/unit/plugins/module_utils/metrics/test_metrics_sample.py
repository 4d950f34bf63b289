"""Whole samples of an invented machine, whose sources fail one by one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import Result
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.instances import read_units
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.sample import Series, Target, take_samples
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.sizes import StoreSizes
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.sources import Sources
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.system import (
    CpuTime,
    DiskSpace,
    Memory,
    ProcessUse,
    Traffic,
)
from ansible_collections.coldvox.ci.plugins.module_utils.runner.layout import instance_unit
from ansible_collections.coldvox.ci.plugins.module_utils.runner.worker import Process

T = TypeVar("T")

TARGET = Target(
    base_dir="/runners",
    store_dir="/store",
    models_dir="/store/models",
    rust_dirs=["/rustup", "/cargo"],
    github_url="https://github.com",
)
DIRECTORIES = {
    "/runners": ["two", "one", "stray"],
    "/runners/one": ["bin", "_work"],
    "/runners/two": ["bin"],
    "/runners/stray": [],
    "/store/models": ["small", "large"],
    "/store/models/small": ["am"],
    "/store/models/large": ["am"],
}
SIZES = {"/rustup": 7, "/cargo": 8}
ALL_KEYS = {
    *("timestamp", "load_1m", "cpu_count", "cpu_percent"),
    *("memory_total_bytes", "memory_used_bytes", "memory_available_bytes", "memory_used_percent"),
    *("swap_used_percent", "disk_total_bytes", "disk_used_bytes", "disk_used_percent", "disk_free_bytes"),
    *("psi_cpu_some_avg60", "psi_memory_some_avg60", "psi_io_some_avg60"),
    *("network_rx_bytes", "network_tx_bytes", "disk_read_bytes", "disk_written_bytes"),
    *("interfaces", "disks"),
    *("store_bytes", "models_bytes", "rust_cache_bytes", "listeners", "active_jobs"),
    *("model_cache_available", "network_reachable", "instances", "unavailable"),
}


def process(pid: int, program: str, cgroup: str) -> Process:
    return Process(pid, program, (program,), cgroup, parent=7)


class Machine:
    """A machine with half-busy cores; its clock moves only when a sample sleeps."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.load = 4.5
        self.memory = Memory(102400, 71680, 30720, 70.0, 0.0)
        self.interfaces = {"eth0": Traffic(3, 16), "wlp1s0": Traffic(7, 4)}
        self.slept: list[float] = []
        self.broken: set[str] = set()

    def sources(self) -> Sources:
        return Sources(
            units=lambda names: read_units(lambda *_, **__: self.systemctl(), names),
            text=self.text,
            names=self.names,
            processes=lambda _units: [
                process(7, "/runners/one/bin/Runner.Listener", f"0::/s/{instance_unit('one')}\n"),
                process(8, "/runners/one/bin/Runner.Worker", f"0::/s/{instance_unit('one')}\n"),
                process(9, "/runners/two/bin/Runner.Listener", f"0::/s/{instance_unit('two')}\n"),
            ],
            disk_space=lambda path: self.if_readable(path, DiskSpace(1000, 750, 150)),
            store_sizes=lambda path: self.if_readable(path, StoreSizes(5000, 440)),
            tree_bytes=lambda paths: sum(self.if_readable(path, SIZES[path]) for path in paths),
            reachable=lambda url: self.if_readable(url, url == TARGET.github_url),
            load_1m=lambda: self.if_readable("/proc/loadavg", self.load),
            cpu_time=lambda: self.if_readable("/proc/stat", CpuTime(self.elapsed, 2 * self.elapsed)),
            memory=lambda: self.if_readable("/proc/meminfo", self.memory),
            network_traffic=lambda: self.if_readable("/proc/net/dev", self.interfaces),
            disk_traffic=lambda: self.if_readable("/proc/diskstats", {"nvme0n1": Traffic(1024, 2048)}),
            process_use=lambda pid: ProcessUse(pid / 10, 1000 * pid),
            cpu_count=lambda: 4,
            now=lambda: datetime(2026, 3, 1, 9, 30, tzinfo=timezone.utc) + timedelta(seconds=self.elapsed),
            monotonic=lambda: self.elapsed,
            sleep=self.sleep,
        )

    def if_readable(self, path: str, value: T) -> T:
        if path in self.broken:
            raise PermissionError(13, "Permission denied", path)
        return value

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.elapsed += seconds

    def names(self, path: str) -> list[str]:
        if path not in DIRECTORIES:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self.if_readable(path, DIRECTORIES[path])

    def systemctl(self) -> Result:
        if "systemctl" in self.broken:
            return Result(1, "", "no systemd here")
        used = int(self.elapsed * 2e9)
        blocks = [
            f"Id={instance_unit(name)}\nActiveState=active\nMemoryCurrent=100\nCPUUsageNSec={used}\n"
            for name in ("one", "two")
        ]
        return Result(0, "\n".join(blocks), "")

    def text(self, path: str) -> str:
        texts = {
            "/proc/pressure/cpu": "some avg10=0 avg60=1.5 avg300=0 total=0\n",
            "/proc/pressure/memory": "some avg10=0 avg60=2.5 avg300=0 total=0\n",
            "/proc/pressure/io": "some avg10=0 avg60=3.5 avg300=0 total=0\n",
        }
        return self.if_readable(path, texts[path])


def sample(machine: Machine, **changes: Any) -> dict[str, Any]:
    (taken,) = take_samples(TARGET._replace(**changes), machine.sources(), 1, 5)
    return taken


def test_take_samples_gives_every_key_and_its_value() -> None:
    taken = sample(Machine())
    assert set(taken) == ALL_KEYS
    assert taken["unavailable"] == []
    expected = {
        "timestamp": "2026-03-01T09:30:00Z",
        "load_1m": 4.5,
        "cpu_percent": 50.0,
        "memory_used_percent": 70.0,
        "disk_total_bytes": 1000,
        "disk_used_bytes": 750,
        "disk_used_percent": 83.3,
        "disk_free_bytes": 150,
        "psi_cpu_some_avg60": 1.5,
        "psi_memory_some_avg60": 2.5,
        "psi_io_some_avg60": 3.5,
        "network_rx_bytes": 10,
        "network_tx_bytes": 20,
        "disk_read_bytes": 1024,
        "disk_written_bytes": 2048,
        "interfaces": [
            {"name": "eth0", "rx_bytes": 3, "tx_bytes": 16},
            {"name": "wlp1s0", "rx_bytes": 7, "tx_bytes": 4},
        ],
        "disks": [{"name": "nvme0n1", "read_bytes": 1024, "written_bytes": 2048}],
        "store_bytes": 5000,
        "models_bytes": 440,
        "rust_cache_bytes": 15,
        "listeners": 2,
        "active_jobs": 1,
        "model_cache_available": True,
        "network_reachable": True,
    }
    assert {key: taken[key] for key in expected} == expected


def test_sample_instances_are_those_unpacked_in_order_of_name() -> None:
    one, two = sample(Machine())["instances"]
    assert one == {
        "name": "one",
        "unit_active": True,
        "listener_pid": 7,
        "worker_pid": 8,
        "busy": True,
        "cpu_percent": 50.0,
        "memory_bytes": 100,
        "listener_cpu_percent": 0.7,
        "listener_memory_bytes": 7000,
    }
    assert (two["name"], two["busy"]) == ("two", False)


def test_sample_describes_named_instances_even_where_nothing_is_unpacked() -> None:
    taken = sample(Machine(), instances=["gone"])
    assert [each["name"] for each in taken["instances"]] == ["gone"]
    assert (taken["listeners"], taken["active_jobs"]) == (0, 0)


def test_sample_of_a_host_without_runners_has_no_gap() -> None:
    taken = sample(Machine(), base_dir="/nowhere")
    assert (taken["instances"], taken["listeners"], taken["active_jobs"]) == ([], 0, 0)
    assert taken["unavailable"] == []


@pytest.mark.parametrize(
    ("broken", "keys"),
    [
        ("/proc/loadavg", {"load_1m"}),
        ("/proc/stat", {"cpu_percent"}),
        (
            "/proc/meminfo",
            {key for key in ALL_KEYS if key.startswith("memory_")} | {"swap_used_percent"},
        ),
        ("/proc/pressure/io", {"psi_io_some_avg60"}),
        ("/proc/net/dev", {"network_rx_bytes", "network_tx_bytes", "interfaces"}),
        ("/proc/diskstats", {"disk_read_bytes", "disk_written_bytes", "disks"}),
        ("/store", {"store_bytes", "models_bytes"}),
        ("/store/models", {"model_cache_available"}),
        ("/cargo", {"rust_cache_bytes"}),
        ("https://github.com", {"network_reachable"}),
    ],
)
def test_sample_names_a_source_that_cannot_be_read(broken: str, keys: set[str]) -> None:
    machine = Machine()
    machine.broken.add(broken)
    taken = sample(machine)
    assert set(taken) == ALL_KEYS
    assert {key for key, value in taken.items() if value is None} == keys
    assert set(taken["unavailable"]) == keys


def test_sample_misses_only_what_the_kernel_does_not_report() -> None:
    machine = Machine()
    machine.memory = Memory(102400, None, None, None, 0.0)
    taken = sample(machine)
    missing = {"memory_used_bytes", "memory_available_bytes", "memory_used_percent"}
    assert {key for key, value in taken.items() if value is None} == missing
    assert set(taken["unavailable"]) == missing


def test_sample_counts_an_instance_that_only_root_may_look_into() -> None:
    machine = Machine()
    machine.broken.add("/runners/two")
    assert [each["name"] for each in sample(machine)["instances"]] == ["one", "two"]


def test_series_has_no_cpu_share_without_time_between_two_readings() -> None:
    taken = Series(TARGET, Machine().sources()).take()
    assert taken["cpu_percent"] is None
    assert taken["unavailable"] == ["cpu_percent"]


def test_sample_disk_is_that_of_the_work_directory() -> None:
    machine = Machine()
    machine.broken.add("/elsewhere")
    assert sample(machine, work_dir="/elsewhere")["disk_used_percent"] is None


def test_sample_of_an_unreadable_runner_directory_has_gaps() -> None:
    machine = Machine()
    machine.broken.add("/runners")
    taken = sample(machine)
    assert taken["instances"] is taken["active_jobs"] is taken["listeners"] is None
    assert {"instances", "active_jobs", "listeners"} <= set(taken["unavailable"])


def test_sample_counts_jobs_when_systemd_does_not_answer() -> None:
    machine = Machine()
    machine.broken.add("systemctl")
    taken = sample(machine)
    assert taken["active_jobs"] == 1
    assert taken["unavailable"] == [
        f"instances.{key}" for key in ("unit_active", "cpu_percent", "memory_bytes")
    ]


@pytest.mark.parametrize(
    ("models", "directory", "expected"),
    [
        ([], "/store/models", True),
        (["small"], "/store/models", True),
        (["small", "spanish"], "/store/models", False),
        ([], "/nowhere", False),
        (["small"], "/nowhere", False),
    ],
)
def test_sample_model_cache_is_available_when_every_wanted_model_is(
    models: list[str], directory: str, expected: bool
) -> None:
    taken = sample(Machine(), models=models, models_dir=directory)
    assert taken["model_cache_available"] is expected


def test_sample_model_cache_lacks_a_model_whose_link_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(DIRECTORIES, "/store/models/large")
    assert sample(Machine())["model_cache_available"] is False


def test_take_samples_keeps_the_interval_and_walks_once() -> None:
    machine = Machine()
    walked: list[list[str]] = []

    def counting(inner: Callable[[Any], int]) -> Callable[[Any], int]:
        def count(paths: list[str]) -> int:
            walked.append(paths)
            return inner(paths)

        return count

    sources = machine.sources()
    sources = sources._replace(tree_bytes=counting(sources.tree_bytes))
    taken = list(take_samples(TARGET, sources, 3, 5))
    assert [each["timestamp"][-3:-1] for each in taken] == ["00", "05", "10"]
    assert machine.slept == [0.25, 5, 5]
    assert walked == [TARGET.rust_dirs]
    assert all(each["cpu_percent"] == 50.0 for each in taken)
