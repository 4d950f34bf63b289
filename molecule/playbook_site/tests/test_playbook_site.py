"""A queued job has everything it needs, inside a tight sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from testinfra.host import Host

#: systemd-analyze security, 0 (safe) to 10; the runner's own unit has 9.2, the build profile should have 1.6.
WORST_EXPOSURE = 2.0

#: The job of the demo.
JOB = (Path(__file__).resolve().parents[3] / "docs/examples/job.sh").read_text()


def test_job_uses_cargo_libvosk_and_the_model(hostvars: dict[str, Any], github: Any) -> None:
    job = github.run_job(list(hostvars["github_runner_labels"]), JOB)
    assert job["conclusion"] == "success", job
    assert "rustc 1.75.0 " in job["log"]
    assert "model loaded by libvosk from cargo" in job["log"]


def test_job_that_fails_is_reported_as_failed(hostvars: dict[str, Any], github: Any) -> None:
    job = github.run_job(list(hostvars["github_runner_labels"]), "exit 3")
    assert job["conclusion"] == "failure", job


def test_job_cannot_leave_its_sandbox(hostvars: dict[str, Any], github: Any) -> None:
    attempts = [
        "touch /etc/planted",
        "touch /usr/planted",
        "sudo -n true",
        "ls /root",
        "touch /var/cache/coldvox-ci/planted",
    ]
    script = "\n".join(f"if {attempt}; then echo escaped: {attempt}; exit 1; fi" for attempt in attempts)
    job = github.run_job(list(hostvars["github_runner_labels"]), script)
    assert job["conclusion"] == "success", job


def test_units_are_sandboxed(host: Host, hostvars: dict[str, Any]) -> None:
    for instance in hostvars["github_runner_instances"]:
        unit = f"coldvox-runner@{instance['name']}.service"
        overall = host.check_output(f"systemd-analyze security --no-pager {unit} | tail -n 1")
        assert float(overall.split(":")[1].split()[0]) <= WORST_EXPOSURE, overall
