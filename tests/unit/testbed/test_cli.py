"""The command line: messages and exit status, and the modules behind it."""

from __future__ import annotations

import http.server
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed import cli, docker_engine, job, process
from testbed.docker_engine import Machine, check_machine, check_may_start, read_os_release
from testbed.errors import TestbedError, UnsupportedMachineError
from testbed.parallel import side_by_side
from testbed.paths import Paths
from testbed.progress import Progress
from testbed.services import Service, await_healthy, orphans, world_services
from testbed.world import WORLDS

DEBIAN = Machine("Linux", "x86_64", True, {"ID": "debian"}, may_install=True, boots_with_systemd=False)


def with_(**changes: Any) -> Machine:
    return Machine(**{**DEBIAN.__dict__, **changes})


@pytest.mark.parametrize(
    ("system", "architecture"), [("Darwin", "arm64"), ("Linux", "aarch64"), ("Windows", "AMD64")]
)
def test_check_machine_rejects_other_systems_and_architectures(system: str, architecture: str) -> None:
    with pytest.raises(UnsupportedMachineError, match=f"this machine is {system} on {architecture}; use an"):
        check_machine(with_(system=system, architecture=architecture))


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"is_root": False}, "install and start Docker Engine"),
        ({"os_release": {"ID": "fedora", "ID_LIKE": ""}}, "only on Debian and Ubuntu"),
        ({"may_install": False}, "set COLDVOX_TESTBED_INSTALL=1"),
    ],
)
def test_check_may_start_names_the_missing_permission(changes: dict[str, Any], remedy: str) -> None:
    with pytest.raises(UnsupportedMachineError, match=remedy) as raised:
        check_may_start(with_(**changes), "docker: not found")
    assert "docker: not found" in str(raised.value)
    assert raised.value.exit_status == 3


def test_check_may_start_accepts_root_on_debian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("testbed.docker_engine.shutil.which", lambda program: f"/usr/bin/{program}")
    check_may_start(DEBIAN, "docker: not found")
    check_may_start(with_(os_release={"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}), "docker: not found")


def test_with_companions_adds_recommended_packages_that_exist() -> None:
    wanted = ["docker.io", "iptables"]
    assert docker_engine.with_companions(wanted, lambda _name: False) == wanted
    assert docker_engine.with_companions(wanted, lambda name: name == "docker-cli") == [*wanted, "docker-cli"]


def test_this_machine_reads_the_permission_to_install() -> None:
    assert docker_engine.this_machine({"COLDVOX_TESTBED_INSTALL": "1"}).may_install
    assert docker_engine.this_machine({"CI": "true"}).may_install
    assert not docker_engine.this_machine({"COLDVOX_TESTBED_INSTALL": ""}).may_install


def test_read_os_release_accepts_quotes_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "os-release"
    path.write_text("# a comment=1\nID=nobara\nID_LIKE=\"rhel centos fedora\"\n\nNAME='Nobara Linux'\n")
    assert read_os_release(path) == {"ID": "nobara", "ID_LIKE": "rhel centos fedora", "NAME": "Nobara Linux"}
    assert read_os_release(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("error", "status"),
    [(TestbedError("It broke."), 1), (UnsupportedMachineError("No."), 3), (KeyboardInterrupt(), 130)],
)
def test_cli_prints_errors_as_one_line_and_exits_with_their_status(
    error: BaseException, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_arguments: Any) -> int:
        raise error

    monkeypatch.setitem(cli.COMMANDS, "build", fail)
    assert cli.main(["build"]) == status
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["up", "--world", "moon"], ["job", "--runs-on", "x"], ["fly"]])
def test_cli_exits_with_2_for_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main(arguments)
    assert raised.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_status_of_a_missing_world_is_1_and_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLDVOX_TESTBED_DIR", str(tmp_path))
    monkeypatch.setattr("testbed.status.engine_refusal", lambda: "docker: not found")
    assert cli.main(["status", "--world", "test", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["up"], answer["hosts"], answer["docker"]) == (False, [], "docker: not found")
    assert cli.main(["status", "--world", "test"]) == 1
    assert "world test: not up (docker: docker: not found)" in capsys.readouterr().out


def test_progress_prints_a_heartbeat_only_after_silence() -> None:
    now = [100.0]
    out = io.StringIO()
    progress = Progress(out, clock=lambda: now[0])
    with progress.step("images", "building") as report:
        now[0] += 4.9
        progress.beat()
        report("step 3 of 4")
        now[0] += 0.2
        progress.beat()
        progress.beat()
    now[0] += 60
    progress.beat()
    progress.close()
    assert out.getvalue() == "[   0.0 s] images: building\n[   5.1 s] images: … step 3 of 4\n"


def test_process_identity_is_more_than_its_pid(tmp_path: Path) -> None:
    running = process.spawn(["sleep", "60"], log=tmp_path / "log", cwd=tmp_path)
    impostor = process.Identity(running.pid, running.start_ticks - 1, running.boot_id)
    assert process.alive(running)
    assert not process.alive(impostor)
    assert not process.stop(impostor)
    assert process.alive(running)
    assert process.stop(running)
    assert not process.alive(running)
    assert not process.stop(running)


def test_process_stop_kills_a_process_that_ignores_sigterm(tmp_path: Path) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    running = process.spawn(["sh", "-c", script], log=tmp_path / "log", cwd=tmp_path)
    while "ready" not in (tmp_path / "log").read_text():
        assert process.alive(running)
    assert process.stop(running, grace_seconds=0.3)
    assert not process.alive(running)


def test_process_capture_distinguishes_a_missing_from_a_slow_program() -> None:
    assert process.capture(["no-such-program-here"]).status == 127
    slow = process.capture(["sleep", "60"], timeout_seconds=0.1)
    assert (slow.status, slow.reason) == (124, "sleep: no end after 0.1 s")


def test_side_by_side_ends_all_when_one_fails() -> None:
    started = threading.Event()
    after: list[process.Outcome] = []

    def slow() -> None:
        started.set()
        process.capture(["sleep", "60"])
        after.append(process.capture(["true"]))

    def failing() -> None:
        started.wait(10)
        raise TestbedError("It broke.")

    begun = time.monotonic()
    with pytest.raises(TestbedError, match="It broke"):
        side_by_side([slow, failing])
    assert time.monotonic() - begun < 10
    assert after == [], "a program was started after the failure"
    assert process.capture(["true"]).status == 0


def test_process_stream_reports_and_logs_each_line(tmp_path: Path) -> None:
    lines: list[str] = []
    outcome = process.stream(
        ["sh", "-c", "echo one; echo; echo two >&2; exit 3"],
        log=tmp_path / "logs" / "x.log",
        report=lines.append,
    )
    assert (outcome.status, outcome.reason, lines) == (3, "two", ["one", "two"])
    assert (tmp_path / "logs" / "x.log").read_text() == "one\n\ntwo\n"


def test_await_healthy_reports_the_last_log_line_of_an_ended_service(tmp_path: Path) -> None:
    service = Service("mirror", "x", (), "http://127.0.0.1:1", "/")
    log = tmp_path / "mirror.log"
    running = process.spawn(["sh", "-c", "echo address in use"], log=log, cwd=tmp_path)
    with pytest.raises(TestbedError, match="The service mirror ended at once: address in use"):
        await_healthy(service, running, log)


def test_orphans_are_recognized_by_their_command_line(tmp_path: Path) -> None:
    github, mirror = world_services(WORLDS["test"], Paths(tmp_path))
    left = process.spawn(["sh", "-c", "sleep 60; :", *github.argv[1:]], log=tmp_path / "log", cwd=tmp_path)
    command_line = ["python3", *github.argv[1:]]
    proc = tmp_path / "proc"
    (proc / str(left.pid)).mkdir(parents=True)
    (proc / str(left.pid) / "cmdline").write_bytes("\0".join([*command_line, ""]).encode())
    try:
        assert orphans(github, None, proc) == [left]
        assert orphans(github, left, proc) == []
        assert orphans(mirror, None, proc) == []
        assert orphans(world_services(WORLDS["demo"], Paths(tmp_path))[0], None, proc) == []
    finally:
        process.stop(left)


class Emulator(http.server.BaseHTTPRequestHandler):
    """A stand-in for the emulator's administrative routes; a query advances the job."""

    steps: list[dict[str, Any]]
    received: list[dict[str, Any]]

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(201, {"id": 7})

    def do_GET(self) -> None:
        self._answer(200, self.steps.pop(0) if len(self.steps) > 1 else self.steps[0])

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Emulator]]:
    monkeypatch.setattr(job, "POLL_SECONDS", 0.01)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Emulator)
    Emulator.received = []
    monkeypatch.setattr(
        "testbed.world.World.emulator_url", property(lambda _self: f"http://127.0.0.1:{server.server_port}")
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Emulator
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("conclusion", "status"), [("success", 0), ("failure", 1)])
def test_job_prints_status_and_log_as_they_change(
    emulator: type[Emulator], tmp_path: Path, conclusion: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.steps = [
        {"status": "queued", "log": ""},
        {"status": "in_progress", "runner_name": "laptop-extra", "log": "one\nha"},
        {"status": "completed", "conclusion": conclusion, "runner_name": "laptop-extra", "log": "one\nhalf"},
    ]
    script = tmp_path / "build.sh"
    script.write_text("echo one\n")
    assert cli.main(["job", "--runs-on", "fedora, heavy-build", "--script", str(script)]) == status
    shown = [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]
    assert shown == [
        "job: job 7 is queued for a runner with fedora, heavy-build",
        "job: in progress on laptop-extra",
        "job:   | one",
        "job: completed on laptop-extra",
        "job:   | half",
        f"job: result: {conclusion}",
    ]
    assert emulator.received == [
        {
            "repository": "Coldaine/ColdVox",
            "name": "build",
            "runs_on": ["fedora", "heavy-build"],
            "script": "echo one\n",
        }
    ]


def test_job_gives_up_when_no_runner_takes_it(
    emulator: type[Emulator], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.steps = [{"status": "queued"}]
    (tmp_path / "x.sh").write_text(":")
    arguments = ["job", "--runs-on", "arm64", "--script", str(tmp_path / "x.sh"), "--timeout", "0.05"]
    assert cli.main(arguments) == 1
    assert "check that a runner with the labels arm64 is online." in capsys.readouterr().err


def test_job_without_a_world_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("testbed.world.World.emulator_url", property(lambda _self: "http://127.0.0.1:1"))
    (tmp_path / "x.sh").write_text(":")
    assert cli.main(["job", "--world", "test", "--runs-on", "a", "--script", str(tmp_path / "x.sh")]) == 1
    assert "python -m testbed up --world test" in capsys.readouterr().err


def test_job_names_a_script_that_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["job", "--runs-on", "a", "--script", str(tmp_path / "none.sh")]) == 1
    assert "none.sh cannot be read: No such file or directory." in capsys.readouterr().err
