"""Signals beyond a sample, from the files of imagined machines."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.health.policy import SIGNALS
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import signals
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.instances import Unit
from ansible_collections.coldvox.ci.plugins.module_utils.runner.layout import instance_unit

from tests._support.fault_server import install, model_zip, wanted

POWER, THERMAL = "/sys/class/power_supply", "/sys/class/thermal"


def here(files: dict[str, str] | None = None, **changes: Any) -> signals.Surroundings:
    """Return the surroundings of a machine with ``files``."""
    known = files or {}

    def text(path: str) -> str:
        if path not in known:
            raise FileNotFoundError(2, "No such file or directory", path)
        return known[path]

    def names(path: str) -> list[str]:
        found = sorted({name[len(path) + 1 :].split("/")[0] for name in known if name.startswith(f"{path}/")})
        if not found:
            raise FileNotFoundError(2, "No such file or directory", path)
        return found

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
    return signals.Surroundings(**{**given, **changes})


def one(name: str, surroundings: signals.Surroundings) -> Any:
    found, _memory = signals.read([name], surroundings)
    return found[name]


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
def test_a_laptop_knows_its_power(
    files: dict[str, str], on_battery: bool | None, charge: float | None
) -> None:
    assert one("on_battery", here(files)) is on_battery
    assert one("battery_percent", here(files)) == charge


@pytest.mark.parametrize(
    ("files", "hottest"),
    [
        ({}, None),
        ({f"{THERMAL}/thermal_zone0/temp": "45000\n", f"{THERMAL}/thermal_zone1/temp": "71500\n"}, 71.5),
        ({f"{THERMAL}/thermal_zone0/temp": "45000\n", f"{THERMAL}/thermal_zone1/type": "asleep\n"}, 45),
        ({f"{THERMAL}/thermal_zone0/temp": "?\n", f"{THERMAL}/cooling_device0/temp": "99000\n"}, None),
    ],
)
def test_the_hottest_sensor_counts(files: dict[str, str], hottest: float | None) -> None:
    assert one("temperature_celsius", here(files)) == hottest


def kills(counts: list[int], minutes: int) -> list[Any]:
    memory: dict[str, Any] = {}
    found = []
    for number, count in enumerate(counts):
        surroundings = here(
            {"/proc/vmstat": f"nr_free_pages 5\noom_kill {count}\n"},
            boottime=1000.0 + number * minutes * 60,
            before=memory,
        )
        values, memory = signals.read(["oom_kills"], surroundings)
        found.append(values["oom_kills"])
    return found


def test_kills_for_memory_count_for_an_hour() -> None:
    assert kills([5, 5, 6, 8, 8, 8], minutes=20) == [0, 0, 1, 3, 3, 2]


def test_kills_are_not_known_without_the_kernels_counter() -> None:
    assert one("oom_kills", here()) is None


def instance(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "unit_active": True, "listener_pid": 7, "busy": False, **changes}


@pytest.mark.parametrize(
    ("changes", "dead"),
    [({}, 0), ({"listener_pid": None}, 1), ({"unit_active": False, "listener_pid": None}, 0)],
)
def test_a_service_without_a_listener_is_dead(changes: dict[str, Any], dead: int) -> None:
    assert one("listeners_dead", here(sample={"instances": [instance("a", **changes)]})) == dead


def deafness(readings: list[tuple[int, dict[str, Any]]]) -> list[Any]:
    """Return how many are deaf after each check, a minute apart; a reading is CPU time and what changed."""
    memory: dict[str, Any] = {}
    found = []
    for number, (used, changes) in enumerate(readings):
        surroundings = here(
            sample={"instances": [instance("a", **changes)]},
            units={instance_unit("a"): Unit(True, used, 0)},
            boottime=1000.0 + number * 60,
            before=memory,
        )
        values, memory = signals.read(["listeners_deaf"], surroundings)
        found.append(values["listeners_deaf"])
    return found


def test_a_listener_that_does_nothing_for_two_minutes_is_deaf() -> None:
    assert deafness([(5, {}), (5, {}), (5, {}), (6, {}), (6, {})]) == [0, 0, 1, 0, 0]


def test_a_busy_or_dead_one_is_not_deaf() -> None:
    assert deafness([(5, {"busy": True})] * 4) == [0] * 4
    assert deafness([(5, {"listener_pid": None})] * 4) == [0] * 4


def test_deafness_is_not_known_where_nobody_accounts() -> None:
    assert one("listeners_deaf", here(sample={"instances": [instance("a")]})) is None


@pytest.mark.parametrize(
    ("stated", "skew"), [(1_000_000.0, 0), (1_000_031.0, 31), (999_960.0, 40), (None, None)]
)
def test_the_servers_clock_tells_the_skew(stated: float | None, skew: float | None) -> None:
    assert one("clock_skew_seconds", here(server_clock=lambda: stated)) == skew


def test_the_kernel_tells_whether_the_clock_is_synchronized() -> None:
    assert one("clock_synchronized", here()) in (True, False, None)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one runner."""
    content = model_zip()
    (tmp_path / "a.zip").write_bytes(content)
    root = tmp_path / "store"
    install(root, wanted("r", f"file://{tmp_path}/a.zip", content, strip_components=1, kind="runner"))
    return root


def test_a_damaged_tree_is_counted(store: Path) -> None:
    assert one("cache_damaged", here(store_dir=str(store))) == 0
    victim = next(path for path in (store / "trees").rglob("*") if path.is_file())
    victim.chmod(0o644)
    victim.write_bytes(b"short")
    assert one("cache_damaged", here(store_dir=str(store))) == 1


def test_the_age_of_the_runner_is_since_it_was_installed(store: Path) -> None:
    now = time.time()
    assert one("runner_age_days", here(store_dir=str(store), now=now + 31 * 86400)) == pytest.approx(
        31, abs=0.2
    )
    assert one("runner_age_days", here(store_dir=str(store), now=now - 86400)) == 0  # the clock went back
    assert one("runner_age_days", here()) is None


def test_only_what_is_asked_for_is_read() -> None:
    assert signals.read(["load_1m", "listeners"], here()) == ({}, {})


def test_every_reader_is_a_signal_that_a_policy_may_judge() -> None:
    assert set(signals._READERS) <= set(SIGNALS)


@pytest.mark.parametrize(
    "memory",
    [
        {"oom_kills": "x", "listeners_deaf": 3},
        {"oom_kills": [[1]], "listeners_deaf": {"a": 1}},
        {"oom_kills": 5},
    ],
)
def test_a_memory_that_somebody_damaged_is_not_believed(memory: dict[str, Any]) -> None:
    surroundings = here(
        {"/proc/vmstat": "oom_kill 1\n"},
        before=memory,
        sample={"instances": [instance("a")]},
        units={instance_unit("a"): Unit(True, 5, 0)},
    )
    found, _memory = signals.read(["oom_kills", "listeners_deaf"], surroundings)
    assert found == {"oom_kills": 0, "listeners_deaf": 0}
