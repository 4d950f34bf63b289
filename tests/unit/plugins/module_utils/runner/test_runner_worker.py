"""Which process is the worker of an instance.

One table of cases for the two doors that answer it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.instances import describe
from ansible_collections.coldvox.ci.plugins.module_utils.runner.worker import (
    Process,
    has_worker,
    is_worker,
    processes,
)

BASE, NAME = "/srv/r", "one"
ROOT, UNIT = f"{BASE}/{NAME}", "coldvox-runner@one.service"
OWN = f"0::/a.slice/{UNIT}\n"
OTHER = "0::/a.slice/coldvox-runner@one-two.service\n"
WORKER = f"{ROOT}/bin/Runner.Worker"

CASES = {
    "executable": (WORKER, ("x",), OWN, True),
    "after an update of the runner": (f"{ROOT}/bin.2.336.0/Runner.Worker", ("x", "spawnclient"), OWN, True),
    "first argument": ("/usr/bin/python3", (WORKER, "spawnclient"), OWN, True),
    "argument of an interpreter": ("/usr/bin/python3", ("python3", WORKER, "9"), OWN, True),
    "relative to the unit's directory": ("/usr/bin/python3", ("python3", "bin/Runner.Worker"), OWN, True),
    "group of the job below the unit": (WORKER, ("x",), f"0::/a.slice/{UNIT}/job", True),
    "hybrid hierarchy": (WORKER, ("x",), f"12:memory:/\n1:name=systemd:/a.slice/{UNIT}\n", True),
    "host in a container": (WORKER, ("x",), f"0::/docker/abc/a.slice/{UNIT}\n", True),
    "by hand": (WORKER, ("x",), "0::/user.slice/session-1.scope", True),
    "by hand, with an interpreter": ("/usr/bin/python3", ("python3", WORKER, "9"), "", True),
    "by hand, after an update": (f"{ROOT}/bin.2.336.0/Runner.Worker", ("Runner.Worker",), "", True),
    "by hand in a unit of similar name": (WORKER, ("x",), f"0::/user.slice/x-{UNIT}\n", True),
    "by hand, relative": ("/usr/bin/python3", ("python3", "bin/Runner.Worker"), "", False),
    "listener": (f"{ROOT}/bin/Runner.Listener", ("x",), OWN, False),
    "in another instance's unit": (WORKER, (WORKER,), OTHER, False),
    "another instance's": ("/srv/r/one-two/bin/Runner.Worker", ("x",), OTHER, False),
    "another instance's, by hand": ("/srv/r/one-two/bin/Runner.Worker", ("x",), "", False),
    "another program's argument": ("/usr/bin/grep", ("grep", "-r", "x", WORKER), OWN, False),
    "name as an argument": ("/bin/sleep", ("/bin/sleep", "Runner.Worker"), OWN, False),
    "program from elsewhere": ("/tmp/Runner.Worker", ("/tmp/Runner.Worker",), OWN, False),
    "program from the job's own bin": (
        f"{ROOT}/_work/a/bin/Runner.Worker",
        (f"{ROOT}/_work/a/bin/Runner.Worker",),
        OWN,
        False,
    ),
}


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> tuple[Process, bool]:
    executable, arguments, cgroup, expected = request.param
    return Process(1, executable, arguments, cgroup), expected


def test_is_worker_answers_every_case(case: tuple[Process, bool]) -> None:
    process, expected = case
    assert is_worker(process, ROOT, UNIT) is expected


def test_describe_agrees_with_is_worker(case: tuple[Process, bool]) -> None:
    process, expected = case
    (described,) = describe([NAME], BASE, [process], {}, {})
    assert described["busy"] is expected
    assert described["worker_pid"] == (1 if expected else None)


def test_is_worker_and_describe_follow_a_link_to_the_base_directory(tmp_path: Path) -> None:
    (tmp_path / "real" / "one").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    process = Process(1, f"{tmp_path}/real/one/bin/Runner.Worker", ("x",), OWN)
    for base in ("real", "link"):
        assert is_worker(process, f"{tmp_path}/{base}/one", UNIT)
        assert describe([NAME], f"{tmp_path}/{base}", [process], {}, {})[0]["busy"]


def test_processes_does_not_keep_a_command_line_without_end(tmp_path: Path) -> None:
    """A job can give each of its processes megabytes of arguments.

    All of them are read together.
    """
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cmdline").write_bytes(b"Runner.Worker\0" + b"x" * 1_000_000)
    (process,) = processes(str(tmp_path))
    assert process.arguments[0] == "Runner.Worker"
    assert len("".join(process.arguments)) < 20_000


def test_has_worker_sees_a_real_process_while_it_lives(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "Runner.Worker"
    program.parent.mkdir()
    program.write_text("import time; print(flush=True); time.sleep(60)\n")
    assert not has_worker(str(tmp_path), UNIT)
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            assert has_worker(str(tmp_path), UNIT)
            link = tmp_path.parent / f"{tmp_path.name}-link"
            os.symlink(tmp_path, link)
            assert has_worker(str(link), UNIT)
        finally:
            process.kill()
    deadline = time.monotonic() + 5
    while has_worker(str(tmp_path), UNIT) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not has_worker(str(tmp_path), UNIT)
