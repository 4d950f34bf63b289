"""The sampler and the health check, which run as a user without rights."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

USER = "coldvox-agent"
SAMPLER, CHECK = "coldvox-ci-metrics.service", "coldvox-ci-health.service"
METRICS = "/var/lib/coldvox-ci/metrics"


def read(host: Host, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(host.file(f"/run/coldvox-ci/{name}").content_string)
    return content


def wait_for(condition: Callable[[], Any], timeout_seconds: float = 90) -> Any:
    deadline = time.monotonic() + timeout_seconds
    while not (answer := condition()) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert answer
    return answer


def test_sampler_runs_as_a_user_without_rights(host: Host) -> None:
    assert host.service(SAMPLER).is_running
    assert host.service(SAMPLER).is_enabled
    pid = host.check_output(f"systemctl show -p MainPID --value {SAMPLER}")
    assert host.check_output(f"stat -c %U /proc/{pid}") == USER
    assert host.user(USER).shell.endswith("nologin")


def test_sampler_samples_repeatedly(host: Host) -> None:
    first = read(host, "sample.json")["timestamp"]
    wait_for(lambda: read(host, "sample.json")["timestamp"] > first)
    lines = host.file(f"{METRICS}/samples.csv").content_string.splitlines()
    assert lines[0].count(",") == lines[-1].count(",") == 18


def test_sampler_samples_every_instance(host: Host) -> None:
    unpacked = host.check_output("ls /var/lib/actions-runner 2>/dev/null || true").split()
    sample = read(host, "sample.json")
    assert [instance["name"] for instance in sample["instances"]] == sorted(unpacked)


def test_sampler_reads_the_size_of_the_store_from_its_records(host: Host) -> None:
    listed = json.loads(host.check_output("runnerctl cache list --json"))
    wait_for(lambda: read(host, "sample.json")["store_bytes"] == listed["total_bytes"])


def test_health_is_published_with_its_expiry(host: Host) -> None:
    host.check_output(f"systemctl start {CHECK}")
    health = read(host, "health.json")
    assert set(health) == {
        *("score", "verdict", "recommendation", "observed_at", "expires_at"),
        *("consecutive_failures", "host", "runs_on"),
    }
    assert health["observed_at"] < health["expires_at"]
    assert host.service("coldvox-ci-health.timer").is_running
    assert host.file("/run/coldvox-ci/agent/health.json").user == USER


def test_sampler_reports_that_the_check_reached_github(host: Host) -> None:
    host.check_output(f"systemctl start {CHECK}")
    wait_for(lambda: read(host, "sample.json")["network_reachable"] is True)


def test_health_can_be_read_by_people_and_jobs(as_user: Callable[..., str]) -> None:
    score = json.loads(as_user("runnerctl health --json || test $? -le 2"))
    assert 0 <= score["score"] <= 100
    assert score["unknown"] == []
    check = json.loads(as_user("runnerctl health --check --json || test $? -le 2"))
    assert check["exit_code"] in (0, 1, 2)


def test_metrics_can_be_read_by_root_and_no_job(host: Host, as_user: Callable[..., str]) -> None:
    # A reader could hold a lock against the sampler.
    assert "Average Load" in host.check_output("runnerctl metrics report || test $? = 1")
    assert "run as root, or as a member of the group" in as_user(
        "runnerctl metrics report 2>&1 || test $? = 3"
    )


def test_sampler_has_no_network(host: Host) -> None:
    families = host.check_output(f"systemctl show -p RestrictAddressFamilies --value {SAMPLER}")
    assert families == "AF_UNIX"


@pytest.mark.parametrize("unit", [SAMPLER, CHECK])
def test_health_services_are_sandboxed(host: Host, unit: str) -> None:
    exposure = host.check_output(f"systemd-analyze security --no-pager {unit} | tail -n 1")
    assert float(exposure.split(":")[1].split()[0]) <= 2.0


def test_sampler_restarts_after_a_kill(host: Host) -> None:
    before = host.check_output(f"systemctl show -p MainPID --value {SAMPLER}")
    host.check_output(f"systemctl kill --signal=KILL {SAMPLER}")
    wait_for(
        lambda: (
            host.check_output(f"systemctl show -p MainPID --value {SAMPLER}") not in ("0", before)
            and host.service(SAMPLER).is_running
        )
    )


@pytest.mark.parametrize(
    "script",
    [
        "echo '{}' > /run/coldvox-ci/health.json",
        "rm /run/coldvox-ci/health.json",
        f"echo planted >> {METRICS}/samples.csv",
        f"mv {METRICS} /var/lib/coldvox-ci/gone",
    ],
)
def test_health_files_cannot_be_altered_by_a_job(refused: Callable[..., None], script: str) -> None:
    refused(script)


def test_agent_user_cannot_alter_files_of_root(refused: Callable[..., None]) -> None:
    refused("mv /run/coldvox-ci/locks /run/coldvox-ci/gone", user=USER)
    refused("touch /opt/coldvox-ci/current/coldvox_ci/planted.py", user=USER)
    refused("mv /var/lib/coldvox-ci/cargo /var/lib/coldvox-ci/gone", user=USER)
