from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import Result, Run
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.instances import (
    Unit,
    busy_shares,
    describe,
    read_units,
)
from ansible_collections.coldvox.ci.plugins.module_utils.runner.layout import instance_unit
from ansible_collections.coldvox.ci.plugins.module_utils.runner.worker import Process

BASE = "/var/lib/actions-runner"
HEAVY, LIGHT = "laptop-extra-heavy", "laptop-extra-light"

SHOWN = """Id=coldvox-runner@laptop-extra-heavy.service
ActiveState=active
MemoryCurrent=104857600
CPUUsageNSec=2000000000

Id=coldvox-runner@laptop-extra-light.service
ActiveState=inactive
MemoryCurrent=[not set]
CPUUsageNSec=18446744073709551615
"""


def cgroup(instance: str) -> str:
    return f"0::/system.slice/system-coldvox.slice/{instance_unit(instance)}\n"


def made(pid: int, arguments: Sequence[str], group: str) -> Process:
    return Process(pid, arguments[0], tuple(arguments), group, parent=9)


def process(pid: int, program: str, instance: str = HEAVY, group: str | None = None) -> Process:
    path = f"{BASE}/{instance}/bin/{program}"
    return made(pid, [path, "spawnclient"], cgroup(instance) if group is None else group)


def pids(*processes: Process) -> tuple[int | None, int | None, bool]:
    (described,) = describe([HEAVY], BASE, processes, {}, {})
    return described["listener_pid"], described["worker_pid"], described["busy"]


def systemd(asked: list[Sequence[str]]) -> Run:
    def run(argv: Sequence[str], **_: object) -> Result:
        asked.append(argv)
        return Result(0, SHOWN, "")

    return run


def test_read_units_asks_systemd_once_for_all_units() -> None:
    asked: list[Sequence[str]] = []
    assert read_units(systemd(asked), [HEAVY, LIGHT]) == {
        instance_unit(HEAVY): Unit(active=True, cpu_nanoseconds=2_000_000_000, memory_bytes=104857600),
        instance_unit(LIGHT): Unit(active=False, cpu_nanoseconds=None, memory_bytes=None),
    }
    assert len(asked) == 1


def test_read_units_does_not_call_systemd_without_instances() -> None:
    asked: list[Sequence[str]] = []
    assert read_units(systemd(asked), []) == {}
    assert asked == []


def test_read_units_raises_ci_error_when_systemd_does_not_answer() -> None:
    with pytest.raises(CiError, match="not been booted"):
        read_units(lambda *_, **__: Result(1, "", "System has not been booted with systemd"), ["a"])


def test_describe_takes_a_listener_for_idle_and_a_worker_for_a_job() -> None:
    assert pids(process(10, "Runner.Listener")) == (10, None, False)
    assert pids(process(9, "Runner.Listener"), process(11, "Runner.Worker")) == (9, 11, True)


@pytest.mark.parametrize(
    "group",
    [
        pytest.param("12:memory:/\n1:name=systemd:" + cgroup(HEAVY)[3:], id="hybrid hierarchy"),
        pytest.param(f"0::/docker/abc/system.slice/{instance_unit(HEAVY)}\n", id="host in a container"),
        pytest.param(cgroup(HEAVY).strip() + "/job\n", id="group of the job below the unit"),
    ],
)
def test_describe_knows_a_worker_in_every_layout_of_control_groups(group: str) -> None:
    listener = process(9, "Runner.Listener", group=group)
    assert pids(listener, process(10, "Runner.Worker", group=group)) == (9, 10, True)


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param(process(10, "Runner.Worker", group=cgroup(LIGHT)), id="in another instance's unit"),
        pytest.param(made(10, ["/bin/sleep", "Runner.Worker"], cgroup(HEAVY)), id="name as an argument"),
        pytest.param(made(10, ["/tmp/Runner.Worker"], cgroup(HEAVY)), id="program from elsewhere"),
        pytest.param(
            made(10, ["vim", "-R", f"{BASE}/{HEAVY}/bin/Runner.Worker"], cgroup(HEAVY)),
            id="path far behind",
        ),
    ],
)
def test_describe_does_not_take_a_look_alike_for_a_job(stranger: Process) -> None:
    assert pids(process(9, "Runner.Listener"), stranger) == (9, None, False)


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(["/usr/bin/python3", f"{BASE}/{HEAVY}/bin/Runner.Worker"], id="script with interpreter"),
        pytest.param([f"{BASE}/{HEAVY}/bin.2.336.0/Runner.Worker"], id="after an update of itself"),
    ],
)
def test_describe_knows_a_worker_by_its_program(argv: list[str]) -> None:
    assert pids(process(9, "Runner.Listener"), made(10, argv, cgroup(HEAVY))) == (9, 10, True)


def test_describe_keeps_instances_of_similar_names_apart() -> None:
    longer = f"{HEAVY}-2"
    runner = [process(9, "Runner.Listener", longer), process(10, "Runner.Worker", longer)]
    described = describe([HEAVY, longer], BASE, runner, {}, {})
    assert [each["busy"] for each in described] == [False, True]


def test_describe_takes_accounts_from_the_unit() -> None:
    heavy, light = describe(
        [HEAVY, LIGHT], BASE, [], read_units(systemd([]), [HEAVY, LIGHT]), {instance_unit(HEAVY): 12.5}
    )
    assert (heavy["unit_active"], heavy["cpu_percent"], heavy["memory_bytes"]) == (True, 12.5, 104857600)
    assert (light["unit_active"], light["cpu_percent"], light["memory_bytes"]) == (False, 0.0, 0)


def test_describe_leaves_accounts_null_without_a_unit() -> None:
    (described,) = describe([HEAVY], BASE, [], {}, {})
    assert described["unit_active"] is described["cpu_percent"] is described["memory_bytes"] is None


def test_busy_shares_are_of_all_cores() -> None:
    before = {"a": Unit(True, 1_000_000_000, 0), "b": Unit(True, None, 0)}
    after = {"a": Unit(True, 3_000_000_000, 0), "b": Unit(True, 5, 0), "new": Unit(True, 5, 0)}
    assert busy_shares(before, after, seconds=2.0, cpu_count=4) == {"a": 25.0}
