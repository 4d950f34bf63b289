from __future__ import annotations

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import system

STAT = "cpu  100 20 30 800 50 5 5 0 40 2\ncpu0 50 10 15 400 25 2 3 0 20 1\n"
MEMINFO = """MemTotal:       32000 kB
MemFree:         1000 kB
MemAvailable:   24000 kB
SwapTotal:       8000 kB
SwapFree:        6000 kB
HugePages_Total:    0
"""
NET_DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls
    lo: 9999 10 0 0 0 0 0 0 9999 10 0 0 0 0 0 0
wlp0s20f3: 1000 10 0 0 0 0 0 0 200 5 0 0 0 0 0 0
  eth0:300 3 0 0 0 0 0 0 40 2 0 0 0 0 0 0
docker0: 7000 10 0 0 0 0 0 0 8000 5 0 0 0 0 0 0
"""
DISKSTATS = """ 259 0 nvme0n1 100 0 2000 50 200 0 4000 60 0 10 110 0 0 0 0 0 0
 259 1 nvme0n1p1 100 0 2000 50 200 0 4000 60 0 10 110 0 0 0 0 0 0
   7 0 loop0 1 0 8 0 0 0 0 0 0 0 0 0 0 0 0 0 0
"""


@pytest.mark.parametrize(
    ("part", "whole", "expected"), [(1, 3, 33.3), (0, 0, 0.0), (5, 4, 100.0), (-1, 4, 0.0), (2, 2, 100.0)]
)
def test_percent_is_bounded_and_has_one_decimal(part: float, whole: float, expected: float) -> None:
    assert system.percent(part, whole) == expected


def test_load_is_that_of_the_last_minute() -> None:
    assert system.load_1m("4.25 2.10 1.05 3/512 12345\n") == 4.25


def test_guest_time_is_not_counted_twice_and_waiting_for_disks_is_idle() -> None:
    assert system.cpu_time(STAT) == system.CpuTime(busy=160, total=1010)


def test_cpu_percent_is_the_share_between_two_readings() -> None:
    assert system.cpu_percent(system.CpuTime(100, 1000), system.CpuTime(175, 1100)) == 75.0


def test_used_memory_is_all_that_is_not_available() -> None:
    assert system.memory(MEMINFO) == system.Memory(
        total_bytes=32000 * 1024,
        used_bytes=8000 * 1024,
        available_bytes=24000 * 1024,
        used_percent=25.0,
        swap_used_percent=25.0,
    )


def test_a_machine_without_swap_uses_none_of_it() -> None:
    without = MEMINFO.replace("8000 kB", "0 kB").replace("6000 kB", "0 kB")
    assert system.memory(without).swap_used_percent == 0.0


def test_pressure_is_the_share_of_a_minute_in_which_some_task_stalled() -> None:
    text = (
        "some avg10=1.00 avg60=12.34 avg300=0.50 total=123\nfull avg10=9.00 avg60=9.99 avg300=9.00 total=9\n"
    )
    assert system.pressure_some_avg60(text) == 12.34


def test_real_interfaces_count_and_bridges_do_not() -> None:
    assert system.network_traffic(NET_DEV, {"wlp0s20f3", "eth0"}) == system.Traffic(1300, 240)


def test_a_container_has_only_virtual_interfaces_and_counts_them() -> None:
    assert system.network_traffic(NET_DEV, frozenset()) == system.Traffic(8300, 8240)


def test_a_disk_counts_once_without_its_partitions() -> None:
    assert system.disk_traffic(DISKSTATS, {"nvme0n1"}) == system.Traffic(2000 * 512, 4000 * 512)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda: system.load_1m(""), id="load"),
        pytest.param(lambda: system.cpu_time("intr 1 2 3\n"), id="cpu"),
        pytest.param(lambda: system.memory("MemTotal: 1 kB\n"), id="memory without MemAvailable"),
        pytest.param(lambda: system.pressure_some_avg60("full avg60=1.0\n"), id="pressure"),
        pytest.param(lambda: system.network_traffic("a\nb\neth0 1 2\n", {"eth0"}), id="network"),
        pytest.param(lambda: system.disk_traffic(DISKSTATS, {"sda"}), id="no disk of ours"),
    ],
)
def test_what_the_kernel_would_not_write_is_an_error_that_a_sample_survives(broken: object) -> None:
    assert callable(broken)
    with pytest.raises((ValueError, LookupError)):
        broken()
