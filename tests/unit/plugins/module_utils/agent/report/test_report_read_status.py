"""Documents of the services as facts: accepted and refused values."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report import read_status
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.facts import Reason, Sample
from ansible_collections.coldvox.ci.plugins.module_utils.health.score import health_score

from tests._support.report_jobs import NOW


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        ("2026-11-18T11:06:40Z", NOW),
        ("2026-11-18T11:06:40.500Z", NOW + 0.5),
        ("2026-11-18T12:06:40+01:00", NOW),
        (NOW, NOW),
        (0, 0.0),
    ],
)
def test_seconds_reads_iso_times_and_numbers(moment: Any, seconds: float) -> None:
    assert read_status.seconds(moment) == seconds


@pytest.mark.parametrize(
    ("realtime", "monotonic", "expected"),
    [
        ("Wed 2026-11-18 11:06:40 UTC", "", NOW),
        ("", "1h 2min 3.5s", 1000 + 3723.5),
        ("", "1d 4ms 5us", 1000 + 86400.004005),
        ("", "1y 1month 1w", 1000 + 31557600 + 2629800 + 604800),
        ("", "", None),
        ("", "infinity", None),
        ("n/a", "2min soon", None),
    ],
)
def test_next_run_reads_both_times_of_systemctl(
    realtime: str, monotonic: str, expected: float | None
) -> None:
    at = read_status.next_run(realtime, monotonic, booted_at=1000.0)
    assert at == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("moment", [None, True, "", "yesterday", {}])
def test_seconds_refuses_a_value_that_is_no_time(moment: Any) -> None:
    with pytest.raises(ValueError, match=r"time|isoformat"):
        read_status.seconds(moment)


BATTERY = {"also": ["battery_percent"]}


@pytest.mark.parametrize(
    ("metrics", "policy", "reason"),
    [
        ({"load_1m": 9.25}, {}, Reason(40, "load over one minute: 9.25, above 8")),
        ({"memory_used_percent": 71.0}, {}, Reason(15, "memory in use (%): 71, above 70")),
        ({"model_cache_available": False}, {}, Reason(15, "models are missing in the store")),
        ({"network_reachable": False}, {}, Reason(20, "GitHub cannot be reached")),
        ({"on_battery": True}, {"also": ["on_battery"]}, Reason(30, "it runs on battery")),
        ({"battery_percent": 9}, BATTERY, Reason(60, "battery charge (%): 9, below 20")),
    ],
)
def test_reason_has_a_text_for_every_kind_of_penalty(
    metrics: dict[str, Any], policy: dict[str, Any], reason: Reason
) -> None:
    (penalty,) = health_score(metrics, policy)["penalties"]
    assert read_status.reason(penalty) == reason


def test_reason_names_a_signal_of_a_later_version() -> None:
    said = read_status.reason({"signal": "moon_phase", "value": True, "threshold": True, "points": 3})
    assert said == Reason(3, "moon phase: yes")


def test_sample_document_accepts_missing_and_odd_values() -> None:
    document = {"timestamp": "2026-11-18T11:06:40Z", "load_1m": None, "model_cache_available": None}
    assert read_status.sample_document(document) == Sample(NOW)
    odd = {"timestamp": "2026-11-18T11:06:40Z", "load_1m": True, "model_cache_available": "yes"}
    assert read_status.sample_document(odd) == Sample(NOW)


@pytest.mark.parametrize(
    ("line", "schedules"),
    [
        ("15 3 * * * ci cd /srv && ansible-playbook maintenance.yml", ["15 3 * * *"]),
        ("*/5 9-17 * * 1,5 root /usr/local/bin/runnerctl status", ["*/5 9-17 * * 1,5"]),
        ("# 15 3 * * * ci runnerctl status", []),
        ("15 3 * * * root apt-get update", []),
        ("MAILTO=runnerctl", []),
        ("", []),
    ],
)
def test_schedules_of_a_crontab_are_those_of_this_collection(line: str, schedules: list[str]) -> None:
    assert list(read_status.schedules(line)) == schedules
