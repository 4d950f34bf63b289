"""Jobs with their hooks; instances that the host heals, drains and resumes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from testinfra.host import Host

PATIENCE_SECONDS = 60


class Runner:
    """An instance of the host, and the labels that only it has."""

    def __init__(self, host: Host, github: Any, name: str) -> None:
        self.host, self.github, self.name = host, github, name
        self.unit = f"coldvox-runner@{name}"
        self.root = f"/var/lib/actions-runner/{name}"
        self.workspace = f"{self.root}/_work/ColdVox/ColdVox"
        self.labels = [label["name"] for label in github.runners()[name]["labels"]]

    def job(self, script: str) -> dict[str, Any]:
        """Run a job and return it."""
        return dict(self.github.run_job(self.labels, script))

    def waiting_job(self) -> int:
        """Start a job and return its number.

        The job ends when the file ``go`` is in its workspace.
        """
        number = int(self.github.queue_job(self.labels, "echo up; until [ -e go ]; do sleep 0.2; done"))
        self.github.wait_for_job(number, status="in_progress")
        until(lambda: self.pid("Runner.Worker") != 0 and self.host.file(self.workspace).exists)
        return number

    def let_go(self, number: int) -> dict[str, Any]:
        """Let the waiting job end and return it."""
        user = self.host.check_output(f"stat -c %U {self.root}/.runner")
        self.host.check_output(f"runuser -u {user} -- touch {self.workspace}/go")
        return dict(self.github.wait_for_job(number))

    def pid(self, program: str) -> int:
        """Return the process id of the instance's listener or worker, 0 without one."""
        printed = self.host.run(f"pgrep -f '{self.root}/bin/{program}' | head -n 1").stdout.strip()
        return int(printed or 0)

    def state(self) -> list[str]:
        """Return whether the unit runs, and whether it starts at boot."""
        return [
            self.host.run(f"systemctl {word} {self.unit}").stdout.strip()
            for word in ("is-active", "is-enabled")
        ]

    def is_healthy(self) -> bool:
        """Return whether healing finds no fault of the instance."""
        seen = json.loads(self.host.run("runnerctl heal --dry-run --json").stdout)
        return bool(seen["instances"][self.name]["condition"] == "healthy")


def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.3)


@pytest.fixture
def runner(host: Host, hostvars: dict[str, Any], github: Any) -> Iterator[Runner]:
    """Yield the first instance; wait until it is healthy afterwards.

    The timer of healing is stopped meanwhile.
    """
    # Delete its memory too, because it does not repeat an action on an instance for some minutes.
    host.check_output("systemctl stop coldvox-ci-heal.timer && rm -f /run/coldvox-ci/heal.json")
    instance = Runner(host, github, hostvars["github_runner_instances"][0]["name"])
    yield instance
    host.run(f"runnerctl resume {instance.name}")
    host.check_output("systemctl start coldvox-ci-heal.timer")
    until(instance.is_healthy)


def test_job_is_recorded_and_has_its_models(runner: Runner) -> None:
    done = runner.job(
        "cat $(ls -t /run/coldvox-ci/jobs/$RUNNER_NAME/*.started.json | head -1);"
        "echo models: $(ls -m $COLDVOX_MODELS_DIR)"
    )
    assert done["conclusion"] == "success", done["log"]
    assert "::warning" not in done["log"]
    assert [step["name"] for step in done["steps"]] == ["Set up runner", "Run script", "Complete runner"]
    record = json.loads(next(line for line in done["log"].splitlines() if line.startswith("{")))
    assert (record["instance"], record["job"], record["run_id"]) == (runner.name, "test", done["run_id"])
    assert "models: vosk-model-" in done["log"]


def test_workspace_is_empty_for_the_next_job(runner: Runner) -> None:
    first = runner.job("mkdir -p target/debug; touch file target/debug/built; chmod -R a-w target; ls")
    assert "target" in first["log"].splitlines()
    second = runner.job('echo "found: $(ls -A)"; echo "temp: $(ls "$RUNNER_TEMP")"; id -u')
    assert "found: " in second["log"].splitlines()
    # Root removes the work directory, and with it this one, as soon as the next listener starts.
    assert runner.host.run(f"ls -A {runner.root}/_work/_coldvox_trash").stdout == ""


def test_workspace_files_of_root_are_removed_after_the_job(runner: Runner) -> None:
    number = runner.waiting_job()
    left = [f"{runner.workspace}/roots", f"{runner.root}/_work/_tool/roots"]
    for path in left:
        runner.host.check_output(f"mkdir -p {path}/below && touch {path}/below/file")
    held = runner.host.run("systemctl is-active coldvox-ci-job@%s.service", runner.name).stdout.strip()
    assert held == "active", "a watcher runs for the job"
    assert all(runner.host.file(path).exists for path in left), "files of a running job stay"
    assert runner.let_go(number)["conclusion"] == "success"
    until(lambda: not any(runner.host.file(path).exists for path in left))


def test_job_that_fails_before_its_first_hook_counts(runner: Runner) -> None:
    """nomadkaraoke/karaoke-gen issue 103: a container gave the work directory to root."""
    work = f"{runner.root}/_work"
    runner.host.check_output(f"mkdir -p {work} && chown -R root {work} && chmod 700 {work}")
    assert f"'{work}' belongs to user id 0" in runner.host.run("runnerctl heal --dry-run").stdout
    assert runner.job("true")["conclusion"] == "failure"
    runner.host.run("runnerctl heal")

    def is_recorded() -> bool:
        jobs = json.loads(runner.host.run("runnerctl history --json").stdout)["jobs"]
        return any(
            (job["instance"], job["run_id"], job["result"]) == (runner.name, 0, "failure") for job in jobs
        )

    until(is_recorded)
    assert runner.job("true")["conclusion"] == "success", "the next start gave the directory back"


def test_sleep_is_inhibited_while_a_job_runs(runner: Runner) -> None:
    number = runner.waiting_job()
    listed = "systemd-inhibit --list --no-pager"
    until(lambda: f"job test on {runner.name}" in runner.host.check_output(listed))
    assert runner.let_go(number)["conclusion"] == "success"
    until(lambda: runner.name not in runner.host.check_output(listed))


def test_job_cannot_write_to_files_of_others(runner: Runner, refused: Callable[..., None]) -> None:
    user = runner.host.check_output(f"stat -c %U {runner.root}/.runner")
    for script in (
        "touch /run/coldvox-ci/jobs/planted",
        "echo planted >> /run/coldvox-ci/heal.json",
        "echo planted >> /opt/coldvox-ci/hooks/job-started.sh",
        "echo planted >> /etc/coldvox-ci/hooks.json",
        "mv /run/coldvox-ci/jobs/* /tmp",
    ):
        refused(script, user)


def test_job_cannot_fill_run(runner: Runner) -> None:
    done = runner.job(
        "cd /run/coldvox-ci/jobs/$RUNNER_NAME; head -c 64M /dev/zero > fill || echo stopped; rm fill;"
        "cd /run/coldvox-ci/locks; (head -c 64M /dev/zero > fill.lock) 2> /dev/null || echo stopped"
    )
    assert done["conclusion"] == "success", done["log"]
    assert done["log"].splitlines().count("stopped") == 2
    assert "No space left on device" in done["log"]


def test_lock_of_the_host_keeps_a_job_out(runner: Runner) -> None:
    asked = "runnerctl lock run shared --timeout 0 -- true && echo free || echo gave $?"
    holder = (
        "systemd-run --quiet --unit=lock-holder --property=Type=exec runnerctl lock run shared -- sleep 300"
    )
    runner.host.check_output(holder)
    until(lambda: "shared" in runner.host.check_output("runnerctl lock list"))
    try:
        assert "gave 3" in runner.job(asked)["log"].splitlines()
    finally:
        runner.host.check_output("systemctl stop lock-holder")
    assert "free" in runner.job(asked)["log"].splitlines()


def test_heal_restarts_a_killed_listener_in_one_pass(runner: Runner) -> None:
    before = runner.pid("Runner.Listener")
    runner.host.check_output(f"kill -9 {before}")
    until(lambda: runner.state()[0] != "active" or runner.pid("Runner.Listener") not in (0, before))
    runner.host.run("runnerctl heal")
    until(lambda: runner.pid("Runner.Listener") not in (0, before))
    until(runner.is_healthy)


def test_heal_starts_and_reports_a_dead_unit_in_one_pass(runner: Runner) -> None:
    runner.host.check_output(f"systemctl stop {runner.unit}")
    planned = runner.host.run("runnerctl heal --dry-run")
    assert "this is a dry run" in planned.stdout
    assert runner.state() == ["inactive", "enabled"]
    healed = runner.host.run("runnerctl heal")
    assert f"{runner.name}: start, because its unit is enabled and does not run: done" in healed.stdout
    assert runner.state() == ["active", "enabled"]
    state = json.loads(runner.host.check_output("cat /run/coldvox-ci/heal.json"))
    assert state["done"][-1]["instance"] == runner.name
    until(runner.is_healthy)


def test_heal_leaves_a_healthy_pool_alone(runner: Runner) -> None:
    before = runner.pid("Runner.Listener")
    for _pass in range(3):
        assert runner.host.check_output("runnerctl heal --json")
    assert runner.pid("Runner.Listener") == before


def test_drain_waits_for_the_job_and_heal_does_not_undo_it(runner: Runner) -> None:
    number = runner.waiting_job()
    assert runner.host.run(f"runnerctl heal --json; runnerctl drain {runner.name} --timeout 1").rc == 1
    assert runner.state() == ["active", "enabled"]
    assert runner.let_go(number)["conclusion"] == "success"
    drained = runner.host.run(f"runnerctl drain {runner.name} --timeout 60")
    assert drained.rc == 0, drained.stderr
    assert runner.state() == ["inactive", "disabled"]
    assert "at rest already" in runner.host.check_output(f"runnerctl drain {runner.name}")
    runner.host.run("runnerctl heal")
    assert runner.state() == ["inactive", "disabled"]
    assert f"{runner.name} listens for jobs" in runner.host.check_output(f"runnerctl resume {runner.name}")
    assert runner.state() == ["active", "enabled"]
    assert runner.job("true")["conclusion"] == "success"


def test_drain_is_for_root_and_for_instances_that_exist(runner: Runner) -> None:
    unknown = runner.host.run("runnerctl drain nobody")
    assert (unknown.rc, "There is no instance 'nobody'" in unknown.stderr) == (3, True)
    user = runner.host.run(f"cd / && runuser -u nobody -- runnerctl drain {runner.name}")
    assert (user.rc, "Only root" in user.stderr) == (3, True)


def test_heal_timer_and_services_are_sandboxed(host: Host) -> None:
    assert host.check_output("systemctl is-enabled coldvox-ci-heal.timer") == "enabled"
    host.check_output("systemctl start coldvox-ci-heal.service")
    for unit in ("coldvox-ci-heal.service", "coldvox-ci-job@x.service"):
        host.check_output(f"systemd-analyze verify /etc/systemd/system/{unit.replace('@x', '@')}")
        assert "infinity" not in host.check_output("systemctl show --property=MemoryMax %s", unit)
