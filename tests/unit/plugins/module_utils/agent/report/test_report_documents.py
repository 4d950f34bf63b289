"""The notes of the services as facts: what they may hold, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report import gather
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
def test_moments_are_understood(moment: Any, seconds: float) -> None:
    assert gather.seconds(moment) == seconds


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
def test_a_timer_tells_when_it_fires(realtime: str, monotonic: str, expected: float | None) -> None:
    found = gather.next_run(realtime, monotonic, booted_at=1000.0)
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("moment", [None, True, "", "yesterday", {}])
def test_what_is_no_moment_is_refused(moment: Any) -> None:
    with pytest.raises(ValueError, match=r"time|isoformat"):
        gather.seconds(moment)


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
def test_every_kind_of_penalty_is_put_into_words(
    metrics: dict[str, Any], policy: dict[str, Any], reason: Reason
) -> None:
    (penalty,) = health_score(metrics, policy)["penalties"]
    assert gather.reason(penalty) == reason


def test_a_signal_of_a_later_version_is_told_by_its_name() -> None:
    said = gather.reason({"signal": "moon_phase", "value": True, "threshold": True, "points": 3})
    assert said == Reason(3, "moon phase: yes")


def test_a_sample_without_a_source_is_a_sample() -> None:
    told = {"timestamp": "2026-11-18T11:06:40Z", "load_1m": None, "model_cache_available": None}
    assert gather.sample_document(told) == Sample(NOW)
    odd = {"timestamp": "2026-11-18T11:06:40Z", "load_1m": True, "model_cache_available": "yes"}
    assert gather.sample_document(odd) == Sample(NOW)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("15 3 * * * ci cd /srv && ansible-playbook maintenance.yml", ["15 3 * * *"]),
        ("*/5 9-17 * * 1,5 root /usr/local/bin/runnerctl status", ["*/5 9-17 * * 1,5"]),
        ("# 15 3 * * * ci runnerctl status", []),
        ("15 3 * * * root apt-get update", []),
        ("MAILTO=runnerctl", []),
        ("", []),
    ],
)
def test_a_crontab_tells_when_we_run(line: str, found: list[str]) -> None:
    assert list(gather.schedules(line)) == found
