"""The text file, judged by Prometheus's own promtool where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import prometheus

SAMPLE: dict[str, Any] = {
    "timestamp": "2026-03-01T09:30:00Z",
    **{metric.key: 12345678901 if metric.kind == "counter" else 50 for metric in prometheus.HOST},
    "model_cache_available": True,
    "network_reachable": False,
    "instances": [
        {"name": "one", "unit_active": True, "busy": False, "cpu_percent": 12.5, "memory_bytes": 100},
        {"name": 'odd"\\\n', "unit_active": None, "busy": True, "cpu_percent": None, "memory_bytes": None},
    ],
}


def values(text: str) -> dict[str, str]:
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def test_values_have_base_units() -> None:
    found = values(prometheus.text(SAMPLE, {"score": 80}))
    assert found["coldvox_ci_load1"] == "50"
    assert found["coldvox_ci_memory_used_bytes"] == "50"
    assert found["coldvox_ci_disk_used_ratio"] == "0.5"
    assert found["coldvox_ci_network_receive_bytes_total"] == "12345678901"
    assert found["coldvox_ci_model_cache_available"] == "1"
    assert found["coldvox_ci_network_reachable"] == "0"
    assert found['coldvox_ci_runner_cpu_used_ratio{runner="one"}'] == "0.125"
    assert found['coldvox_ci_runner_busy{runner="odd\\"\\\\\\n"}'] == "1"
    assert found["coldvox_ci_health_score"] == "80"
    assert found["coldvox_ci_sample_timestamp_seconds"] == "1772357400"


def test_what_is_null_is_left_out_with_its_family() -> None:
    text = prometheus.text({**dict.fromkeys(SAMPLE), "timestamp": SAMPLE["timestamp"]})
    assert list(values(text)) == ["coldvox_ci_sample_timestamp_seconds"]
    assert text.count("# TYPE") == 1


def test_every_family_is_told_once_and_named_as_prometheus_wants() -> None:
    text = prometheus.text(SAMPLE, {"score": 80})
    families = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    assert len(families) == len(set(families))
    for name, kind in families:
        assert name.startswith("coldvox_ci_")
        assert name.endswith("_total") is (kind == "counter")


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not here (Debian's package prometheus has it)"
)
def test_promtool_finds_nothing_to_say() -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=prometheus.text(SAMPLE, {"score": 80}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
