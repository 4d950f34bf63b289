"""The listener and the worker, with jobs from the emulator's queue."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests._support.packed_runner import REPOSITORY, Done, Runner, end, wait_until


def _queue(runner: Runner, script: str, *labels: str) -> int:
    return runner.server.admin.queue_job(list(labels or ["fast"]), script, name="build")


def _result(runner: Runner, script: str) -> dict[str, Any]:
    return runner.server.admin.wait_for_job(_queue(runner, script), timeout_seconds=20)


def _workers(runner: Runner) -> list[Path]:
    workers = []
    for directory in Path("/proc").iterdir():
        try:
            line = (directory / "cmdline").read_bytes()
        except OSError:
            continue
        if str(runner.directory).encode() in line and b"Runner.Worker" in line:
            workers.append(directory)
    return workers


@pytest.fixture
def ready(runner: Runner) -> Runner:
    return runner.configured("a1", "--labels", "fast")


def test_listener_runs_a_job_in_its_workspace_and_environment(ready: Runner) -> None:
    ready.write(".env", "COLOUR=blue\nHOME=/elsewhere\n")
    listener = ready.listen()
    script = "env; cat /proc/$PPID/comm; tr '\\0' ' ' </proc/$PPID/cmdline; echo; echo kept >file; pwd"
    job = _result(ready, script)
    assert (job["conclusion"], job["runner_name"]) == ("success", "a1")
    assert job["created_at"] <= job["started_at"] <= job["completed_at"]
    lines = job["log"].splitlines()
    workspace = ready.directory / "_work" / "ColdVox" / "ColdVox"
    for line in (
        "COLOUR=blue",
        "HOME=/elsewhere",
        f"GITHUB_WORKSPACE={workspace}",
        "GITHUB_REPOSITORY=Coldaine/ColdVox",
        "GITHUB_JOB=build",
        f"GITHUB_RUN_ID={job['run_id']}",
        "RUNNER_NAME=a1",
        f"RUNNER_TEMP={ready.directory / '_work' / '_temp'}",
        "Runner.Worker",
        str(workspace),
    ):
        assert line in lines
    assert f"{ready.directory}/bin/Runner.Worker spawnclient" in job["log"]
    assert "INPUT_TOKEN" not in job["log"]
    assert (workspace / "file").read_text() == "kept\n"
    assert not list((ready.directory / "_work" / "_temp").glob("*"))
    done = end(listener)
    assert done.status == 0
    for text in (
        "Current runner version: '2.336.0'",
        "Listening for Jobs",
        "Running job: build",
        "Job build completed with result: Succeeded",
    ):
        assert text in done.out
    assert ready.registered()[0]["status"] == "offline"
    assert {path.name.split("_")[0] for path in ready.file("_diag").iterdir()} == {"Runner", "Worker"}


def test_job_fails_with_its_command_and_the_next_job_runs(ready: Runner) -> None:
    ready.listen()
    job = _result(ready, "echo one; false; echo two")
    assert job["conclusion"] == "failure"
    assert "one" in job["log"]
    assert "two" not in job["log"]
    assert _result(ready, "true")["conclusion"] == "success"


def test_api_shows_the_job_and_a_busy_runner(ready: Runner) -> None:
    ready.listen()
    number = _queue(ready, "touch started; until [ -e go ]; do sleep 0.05; done")
    job = ready.server.admin.wait_for_job(number, status="in_progress")
    assert ready.registered()[0]["busy"] is True
    shown = ready.rest("GET", f"/repos/{REPOSITORY}/actions/runs/{job['run_id']}/jobs")["jobs"][0]
    assert (shown["status"], shown["runner_name"], shown["labels"]) == ("in_progress", "a1", ["fast"])
    assert len(_workers(ready)) == 1
    ready.write("_work/ColdVox/ColdVox/go", "")
    ready.server.admin.wait_for_job(number)
    wait_until(lambda: not ready.registered()[0]["busy"])


def test_listener_gets_only_jobs_with_its_labels(ready: Runner) -> None:
    ready.listen()
    other = _queue(ready, "true", "gpu")
    assert _result(ready, "true")["conclusion"] == "success"
    assert ready.server.admin.job(other)["status"] == "queued"


def test_hooks_run_around_the_script_and_set_its_environment(ready: Runner) -> None:
    ready.write("started.sh", 'echo "MODEL=/m" >>"$GITHUB_ENV"; echo /tools >>"$GITHUB_PATH"; echo hook-1\n')
    ready.write("completed.sh", "echo hook-2 $MODEL\n")
    ready.write(
        ".env",
        f"ACTIONS_RUNNER_HOOK_JOB_STARTED={ready.file('started.sh')}\n"
        f"ACTIONS_RUNNER_HOOK_JOB_COMPLETED={ready.file('completed.sh')}\n",
    )
    ready.listen()
    job = _result(ready, 'echo "script $MODEL $PATH"; exit 3')
    assert job["conclusion"] == "failure"
    assert [step["name"] for step in job["steps"]] == ["Set up runner", "Run script", "Complete runner"]
    log = job["log"]
    assert (
        log.index("hook-1")
        < log.index("script /m /tools:")
        < log.index("exit code 3")
        < log.index("hook-2 /m")
    )


@pytest.mark.parametrize(
    ("variable", "hook", "ran"),
    [
        ("STARTED", "exit.sh", False),
        ("STARTED", "missing.sh", False),
        ("COMPLETED", "exit.sh", True),
        ("COMPLETED", "no-suffix", True),
    ],
)
def test_hook_failure_fails_the_job(ready: Runner, variable: str, hook: str, ran: bool) -> None:
    ready.write("exit.sh", "exit 9\n")
    ready.write("no-suffix", "true\n")
    ready.write(".env", f"ACTIONS_RUNNER_HOOK_JOB_{variable}={ready.file(hook)}\n")
    ready.listen()
    job = _result(ready, "echo the-script-ran")
    assert job["conclusion"] == "failure"
    assert ("the-script-ran" in job["log"]) is ran


def test_worker_kills_leftover_processes_of_its_job(ready: Runner) -> None:
    ready.listen()
    job = _result(ready, "setsid sleep 300 >/dev/null 2>&1 & echo pid $!")
    pid = job["log"].split("pid ")[1].split()[0]
    assert "Terminate orphan process" in job["log"]
    wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_listener_stop_cancels_the_job_and_skips_the_completed_hook(ready: Runner) -> None:
    ready.write("completed.sh", "echo hook-2\n")
    ready.write(".env", f"ACTIONS_RUNNER_HOOK_JOB_COMPLETED={ready.file('completed.sh')}\n")
    listener = ready.listen()
    number = _queue(ready, "echo begun; sleep 300")
    ready.server.admin.wait_for_job(number, status="in_progress")
    done = end(listener, signal.SIGTERM)
    assert (done.status, "completed with result: Canceled" in done.out) == (0, True)
    job = ready.server.admin.job(number)
    assert job["conclusion"] == "cancelled"
    assert "hook-2" not in job["log"]
    assert not _workers(ready)


def test_worker_of_a_killed_listener_still_reports(ready: Runner) -> None:
    listener = ready.listen()
    number = _queue(ready, "touch started; until [ -e go ]; do sleep 0.05; done; echo finished")
    ready.server.admin.wait_for_job(number, status="in_progress")
    # Not communicate(): the worker holds the listener's output open.
    listener.kill()
    listener.wait(10)
    assert len(_workers(ready)) == 1
    ready.write("_work/ColdVox/ColdVox/go", "")
    assert ready.server.admin.wait_for_job(number)["conclusion"] == "success"


def test_listener_fails_the_job_of_a_killed_worker(ready: Runner) -> None:
    listener = ready.listen()
    number = _queue(ready, "sleep 300")
    ready.server.admin.wait_for_job(number, status="in_progress")
    os.kill(int(_workers(ready)[0].name), signal.SIGKILL)
    job = ready.server.admin.wait_for_job(number)
    assert (job["conclusion"], "no result" in job["log"]) == ("failure", True)
    assert listener.poll() is None


def test_ephemeral_runner_is_deleted_after_one_job(runner: Runner) -> None:
    runner.configured("a1", "--labels", "fast", "--ephemeral")
    listener = runner.listen()
    assert _result(runner, "true")["conclusion"] == "success"
    assert listener.wait(20) == 0
    assert runner.registered() == []
    assert not runner.file(".runner").exists()
    assert not runner.file(".credentials").exists()
    again = runner.run("./bin/Runner.Listener", "run")
    assert (again.status, "Not configured" in again.err) == (1, True)


def test_jit_runner_runs_one_job(runner: Runner) -> None:
    body = {"name": "jit", "runner_group_id": 1, "labels": ["self-hosted", "fast"]}
    reply = runner.rest(
        "POST", f"/repos/{REPOSITORY}/actions/runners/generate-jitconfig", json.dumps(body).encode()
    )
    child = runner.popen("./run.sh", ACTIONS_RUNNER_INPUT_JITCONFIG=reply["encoded_jit_config"])
    wait_until(lambda: runner.registered()[0]["status"] == "online", child)
    assert reply["encoded_jit_config"].encode() not in Path(f"/proc/{child.pid}/cmdline").read_bytes()
    job = _result(runner, "env")
    assert (job["conclusion"], "JITCONFIG" in job["log"]) == ("success", False)
    assert child.wait(20) == 0
    assert runner.registered() == []
    bad = runner.run("./bin/Runner.Listener", "run", "--jitconfig", base64.b64encode(b"x").decode())
    assert bad.status == 1


def test_listener_fails_when_its_registration_was_deleted_before(ready: Runner) -> None:
    number = ready.registered()[0]["id"]
    ready.rest("DELETE", f"/repos/{REPOSITORY}/actions/runners/{number}")
    done = ready.run("./bin/Runner.Listener", "run")
    assert (done.status, "has been deleted from the server" in done.err) == (1, True)
    assert ready.file(".runner").exists()


def test_listener_removes_its_files_when_its_registration_is_deleted(ready: Runner) -> None:
    listener = ready.listen()
    number = ready.registered()[0]["id"]
    ready.rest("DELETE", f"/repos/{REPOSITORY}/actions/runners/{number}")
    out, _ = listener.communicate(timeout=20)
    assert (listener.returncode, "no longer exists on the server" in out) == (0, True)
    assert not ready.file(".runner").exists()


def test_listener_exits_with_5_when_another_session_is_open(ready: Runner) -> None:
    ready.listen()
    done = ready.run("./bin/Runner.Listener", "run")
    assert (done.status, "A session for this runner already exists." in done.err) == (5, True)


def test_listener_with_another_key_gets_no_session(ready: Runner) -> None:
    key = json.loads(ready.file(".credentials_rsaparams").read_text("utf-8-sig"))
    key["d"] = base64.b64encode(base64.b64decode(key["d"])[::-1]).decode()
    ready.file(".credentials_rsaparams").write_text(json.dumps(key))
    child = ready.popen("./bin/Runner.Listener", "run")
    wait_until(lambda: any(each["status"] == 401 for each in ready.server.admin.audit("/_broker")), child)
    assert ready.registered()[0]["status"] == "offline"
    assert "Retrying until reconnected" in end(child).out


def test_listener_survives_a_failing_server(ready: Runner) -> None:
    listener = ready.listen()
    ready.server.admin.set_faults({"path_regex": "/_broker/message", "status": 502, "times": 1})
    assert _result(ready, "true")["conclusion"] == "success"
    assert listener.poll() is None


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        (0, 0, "no retry needed"),
        (1, 0, "terminated error"),
        (5, 0, "Session Conflict"),
        (7, 0, "version deprecated"),
        (99, 0, "unknown error code: 99"),
    ],
)
def test_run_sh_hides_failures(runner: Runner, code: int, status: int, message: str) -> None:
    runner.write("bin/Runner.Listener", f"#!/bin/sh\nexit {code}\n")
    done = runner.run("./run.sh")
    assert (done.status, message in done.out) == (status, True)


def test_run_sh_starts_again_after_a_retryable_error(runner: Runner) -> None:
    runner.write("safe_sleep.sh", "#!/bin/sh\nexit 0\n")
    runner.write("bin/Runner.Listener", "#!/bin/sh\n[ -e tried ] && exit 0\ntouch tried\nexit 2\n")
    done = runner.run("./run.sh")
    assert (done.status, done.out.count("Restarting runner...")) == (0, 1)


def test_run_sh_forwards_a_signal_when_asked_to(ready: Runner) -> None:
    ready.environment["RUNNER_MANUALLY_TRAP_SIG"] = "1"
    done = end(ready.listen(program="./run.sh"), signal.SIGTERM)
    assert (done.status, "Exiting..." in done.out) == (0, True)
    assert ready.registered()[0]["status"] == "offline"


def test_runsvc_sh_sets_path_from_the_file(ready: Runner) -> None:
    ready.write(".path", f"/only/in/path:{ready.environment['PATH']}\n")
    ready.write("runsvc.sh", ready.file("bin/runsvc.sh").read_text())
    service = ready.listen(program="./runsvc.sh")
    assert "PATH=/only/in/path:" in _result(ready, "env")["log"]
    done: Done = end(service, signal.SIGTERM)
    assert ready.registered()[0]["status"] == "offline"
    assert "Starting Runner listener with startup type: service" in done.out


def test_run_sh_does_not_read_the_path_file(ready: Runner) -> None:
    ready.write(".path", "/only/in/path\n")
    ready.listen(program="./run.sh")
    assert "/only/in/path" not in _result(ready, "env")["log"]


def test_svc_sh_is_valid_and_needs_root(ready: Runner) -> None:
    subprocess.run(["bash", "-n", ready.file("svc.sh")], check=True)
    assert 'SVC_NAME="actions.runner._services.a1.service"' in ready.file("svc.sh").read_text()
    done = ready.run("./svc.sh", "install")
    assert (done.status, "Must run as sudo" in done.err) == (1, True)
