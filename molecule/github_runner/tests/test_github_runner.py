"""The pool: registered, online, isolated, without credentials of the controller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from testinfra.host import Host

CLASS_LABELS = {
    "heavy": {"heavy-build", "priority-high"},
    "medium": {"light-test", "priority-medium"},
    "light": {"fast-lint", "light-job", "priority-low"},
}
SYSTEM_LABELS = {"self-hosted", "Linux", "X64"}


def test_instances_are_online_with_exactly_their_labels(hostvars: dict[str, Any], github: Any) -> None:
    runners = github.runners()
    for instance in hostvars["github_runner_instances"]:
        runner = runners[instance["name"]]
        expected = (
            SYSTEM_LABELS | set(hostvars["github_runner_labels"]) | CLASS_LABELS[instance["resource_class"]]
        )
        assert runner["status"] == "online"
        assert {label["name"] for label in runner["labels"]} == expected


def test_units_run_and_start_with_the_machine(host: Host, hostvars: dict[str, Any]) -> None:
    for instance in hostvars["github_runner_instances"]:
        unit = host.service(f"coldvox-runner@{instance['name']}")
        assert unit.is_running
        assert unit.is_enabled


def test_instances_have_their_own_users(host: Host, hostvars: dict[str, Any]) -> None:
    users = set()
    for instance in hostvars["github_runner_instances"]:
        owner = host.check_output(f"stat -c %U /var/lib/actions-runner/{instance['name']}/.runner")
        assert owner != "root"
        users.add(owner)
    assert len(users) == len(hostvars["github_runner_instances"])


def test_instance_cannot_replace_its_own_runner(
    host: Host, hostvars: dict[str, Any], refused: Callable[..., None]
) -> None:
    instance = hostvars["github_runner_instances"][0]["name"]
    root = f"/var/lib/actions-runner/{instance}"
    user = host.check_output(f"stat -c %U {root}/.runner")
    refused(f"echo planted >> {root}/run.sh", user)
    refused(f"mv {root}/bin {root}/planted", user)
    refused(f"echo planted >> {root}/.env", user)


def test_resource_class_limits_are_in_force(host: Host, hostvars: dict[str, Any]) -> None:
    instance = next(i for i in hostvars["github_runner_instances"])
    shown = host.check_output(
        f"systemctl show coldvox-runner@{instance['name']} -p CPUQuotaPerSecUSec -p MemoryMax"
    )
    assert "CPUQuotaPerSecUSec=infinity" not in shown
    assert "MemoryMax=infinity" not in shown


def test_controller_credentials_are_not_on_the_host(host: Host, hostvars: dict[str, Any]) -> None:
    token = hostvars["github_runner_token"]
    # The pattern does not match itself, because sudo logs the command that searches for it.
    pattern = f"[{token[0]}]{token[1:]}"
    search = host.run(f"grep -rl {pattern} /etc /var/lib /opt /root /home /tmp /run /var/log 2>/dev/null")
    assert search.stdout == ""
    assert token not in host.run("cat /proc/[0-9]*/environ | tr '\\0' '\\n'").stdout


def test_job_runs_as_the_instance_user(hostvars: dict[str, Any], github: Any) -> None:
    instance = hostvars["github_runner_instances"][0]
    labels = [*hostvars["github_runner_labels"], *CLASS_LABELS[instance["resource_class"]]]
    job = github.run_job(labels, "id -un; umask; echo $RUNNER_NAME")
    assert job["conclusion"] == "success", job
    assert instance["name"] in job["log"]
    assert "0077" in job["log"]
