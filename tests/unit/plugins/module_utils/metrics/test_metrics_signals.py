"""Signals beyond a sample, from the files of machines that the test invents."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.health.policy import SIGNALS
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import signals, system
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.instances import Unit
from ansible_collections.coldvox.ci.plugins.module_utils.runner.layout import instance_unit

from tests._support.fault_server import install, model_zip, wanted

POWER = "/sys/class/power_supply"


def here(files: dict[str, str] | None = None, **changes: Any) -> signals.Observation:
    """Return an observation of a machine with ``files``."""
    known = files or {}

    def text(path: str) -> str:
        if path not in known:
            raise FileNotFoundError(2, "No such file or directory", path)
        return known[path]

    def names(path: str) -> list[str]:
        listed = sorted(
            {name[len(path) + 1 :].split("/")[0] for name in known if name.startswith(f"{path}/")}
        )
        if not listed:
            raise FileNotFoundError(2, "No such file or directory", path)
        return listed

    given: dict[str, Any] = {
        "text": text,
        "names": names,
        "sample": {"instances": []},
        "units": {},
        "store_dir": "/nowhere",
        "now": 1_000_000.0,
        "boottime": 1000.0,
        "server_clock": lambda: None,
        "before": {},
    }
    return signals.Observation(**{**given, **changes})


def value(name: str, seen: signals.Observation) -> Any:
    values, _memory = signals.read_signals([name], seen)
    return values[name]


def supplies(**given: dict[str, str]) -> dict[str, str]:
    return {
        f"{POWER}/{name}/{key}": f"{value}\n" for name, all_ in given.items() for key, value in all_.items()
    }


LAPTOP = {"type": "Battery", "status": "Discharging", "capacity": "81"}
MOUSE = {"type": "Battery", "status": "Discharging", "capacity": "3", "scope": "Device"}


@pytest.mark.parametrize(
    ("files", "on_battery", "charge"),
    [
        ({}, None, None),
        (supplies(AC={"type": "Mains", "online": "1"}), False, None),
        (supplies(AC={"type": "Mains", "online": "1"}, BAT0=LAPTOP), False, 81),
        (supplies(AC={"type": "Mains", "online": "0"}, BAT0=LAPTOP), True, 81),
        (supplies(ucsi={"type": "USB", "online": "1"}, BAT0=LAPTOP), False, 81),
        (supplies(BAT0=LAPTOP, BAT1={**LAPTOP, "capacity": "40"}), True, 40),
        (supplies(AC={"type": "Mains", "online": "0"}, BAT0={**LAPTOP, "status": "Full"}), False, 81),
        (supplies(AC={"type": "Mains", "online": "1"}, mouse=MOUSE), False, None),
        (supplies(mouse=MOUSE), False, None),
    ],
)
def test_on_battery_and_battery_percent_are_those_of_the_machine_itself(
    files: dict[str, str], on_battery: bool | None, charge: float | None
) -> None:
    assert value("on_battery", here(files)) is on_battery
    assert value("battery_percent", here(files)) == charge


def test_read_signals_takes_the_temperature_of_the_hottest_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which sensor that is, test_metrics_system shows."""
    monkeypatch.setattr(system, "hottest_celsius", lambda: 71.5)
    assert value("temperature_celsius", here()) == 71.5


def kills(counts: list[int], minutes: int) -> list[Any]:
    memory: dict[str, Any] = {}
    counted = []
    for number, count in enumerate(counts):
        seen = here(
            {"/proc/vmstat": f"nr_free_pages 5\noom_kill {count}\n"},
            boottime=1000.0 + number * minutes * 60,
            before=memory,
        )
        values, memory = signals.read_signals(["oom_kills"], seen)
        counted.append(values["oom_kills"])
    return counted


def test_oom_kills_count_for_an_hour() -> None:
    assert kills([5, 5, 6, 8, 8, 8], minutes=20) == [0, 0, 1, 3, 3, 2]


def test_oom_kills_are_null_without_the_kernels_counter() -> None:
    assert value("oom_kills", here()) is None


def instance(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "unit_active": True, "listener_pid": 7, "busy": False, **changes}


@pytest.mark.parametrize(
    ("changes", "dead"),
    [({}, 0), ({"listener_pid": None}, 1), ({"unit_active": False, "listener_pid": None}, 0)],
)
def test_listeners_dead_counts_services_without_a_listener(changes: dict[str, Any], dead: int) -> None:
    assert value("listeners_dead", here(sample={"instances": [instance("a", **changes)]})) == dead


def deafness(readings: list[tuple[int, dict[str, Any]]]) -> list[Any]:
    """Return how many are deaf after each check, a minute apart.

    A reading is CPU time and what changed.
    """
    memory: dict[str, Any] = {}
    counted = []
    for number, (used, changes) in enumerate(readings):
        seen = here(
            sample={"instances": [instance("a", **changes)]},
            units={instance_unit("a"): Unit(True, used, 0)},
            boottime=1000.0 + number * 60,
            before=memory,
        )
        values, memory = signals.read_signals(["listeners_deaf"], seen)
        counted.append(values["listeners_deaf"])
    return counted


def test_listeners_deaf_counts_a_listener_that_does_nothing_for_two_minutes() -> None:
    assert deafness([(5, {}), (5, {}), (5, {}), (6, {}), (6, {})]) == [0, 0, 1, 0, 0]


def test_listeners_deaf_leaves_out_a_busy_or_dead_one() -> None:
    assert deafness([(5, {"busy": True})] * 4) == [0] * 4
    assert deafness([(5, {"listener_pid": None})] * 4) == [0] * 4


def test_listeners_deaf_is_null_without_accounts() -> None:
    assert value("listeners_deaf", here(sample={"instances": [instance("a")]})) is None


@pytest.mark.parametrize(
    ("stated", "skew"), [(1_000_000.0, 0), (1_000_031.0, 31), (999_960.0, 40), (None, None)]
)
def test_clock_skew_is_that_to_the_servers_clock(stated: float | None, skew: float | None) -> None:
    assert value("clock_skew_seconds", here(server_clock=lambda: stated)) == skew


def test_clock_synchronized_is_what_the_kernel_says() -> None:
    assert value("clock_synchronized", here()) in (True, False, None)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one runner."""
    content = model_zip()
    (tmp_path / "a.zip").write_bytes(content)
    root = tmp_path / "store"
    install(root, wanted("r", f"file://{tmp_path}/a.zip", content, strip_components=1, kind="runner"))
    return root


def test_cache_damaged_counts_a_damaged_tree(store: Path) -> None:
    assert value("cache_damaged", here(store_dir=str(store))) == 0
    victim = next(path for path in (store / "trees").rglob("*") if path.is_file())
    victim.chmod(0o644)
    victim.write_bytes(b"short")
    assert value("cache_damaged", here(store_dir=str(store))) == 1


def test_runner_age_days_counts_since_the_installation(store: Path) -> None:
    now = time.time()
    assert value("runner_age_days", here(store_dir=str(store), now=now + 31 * 86400)) == pytest.approx(
        31, abs=0.2
    )
    assert value("runner_age_days", here(store_dir=str(store), now=now - 86400)) == 0  # the clock went back
    assert value("runner_age_days", here()) is None


def test_read_signals_reads_only_what_is_wanted() -> None:
    assert signals.read_signals(["load_1m", "listeners"], here()) == ({}, {})


def test_signals_with_a_reader_may_be_judged_by_a_policy() -> None:
    assert set(signals._READERS) <= set(SIGNALS)


@pytest.mark.parametrize(
    "memory",
    [
        {"oom_kills": "x", "listeners_deaf": 3},
        {"oom_kills": [[1]], "listeners_deaf": {"a": 1}},
        {"oom_kills": 5},
    ],
)
def test_read_signals_does_not_believe_a_damaged_memory(memory: dict[str, Any]) -> None:
    seen = here(
        {"/proc/vmstat": "oom_kill 1\n"},
        before=memory,
        sample={"instances": [instance("a")]},
        units={instance_unit("a"): Unit(True, 5, 0)},
    )
    values, _memory = signals.read_signals(["oom_kills", "listeners_deaf"], seen)
    assert values == {"oom_kills": 0, "listeners_deaf": 0}
