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
    is_program,
    job_processes,
    processes,
    programs,
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


def test_is_program_answers_every_case(case: tuple[Process, bool]) -> None:
    process, expected = case
    assert is_program(process, "Runner.Worker", ROOT, UNIT) is expected


def test_describe_agrees_with_is_program(case: tuple[Process, bool]) -> None:
    """The worker is a child of the unit's listener, if it is in the unit."""
    process, expected = case
    listener = Process(9, f"{ROOT}/bin/Runner.Listener", ("x",), OWN)
    (described,) = describe([NAME], BASE, [listener, process._replace(parent=9)], {}, {})
    assert described["busy"] is expected
    assert described["worker_pid"] == (1 if expected else None)


def test_is_program_and_describe_follow_a_link_to_the_base_directory(tmp_path: Path) -> None:
    (tmp_path / "real" / "one").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    process = Process(1, f"{tmp_path}/real/one/bin/Runner.Worker", ("x",), "")
    for base in ("real", "link"):
        assert is_program(process, "Runner.Worker", f"{tmp_path}/{base}/one", UNIT)
        assert describe([NAME], f"{tmp_path}/{base}", [process], {}, {})[0]["busy"]


LISTENER = f"{ROOT}/bin/Runner.Listener"
# The processes of a unit with a job, as systemd, run.sh and the runner start them.
MAIN = Process(10, "/usr/bin/bash", ("/bin/bash", f"{ROOT}/run.sh"), OWN, 1, 100)
HELPER = Process(11, "/usr/bin/bash", ("/bin/bash", f"{ROOT}/run-helper.sh"), OWN, 10, 100)
NATIVE = Process(12, LISTENER, (LISTENER, "run"), OWN, 11, 101)
SCRIPT = Process(12, "/usr/bin/python3.13", ("python3", LISTENER, "run"), OWN, 11, 101)
JOB = Process(13, WORKER, (WORKER, "spawnclient", "1", "2"), OWN, 12, 200)
SHELL = Process(14, "/usr/bin/bash", ("bash", "-e", "step.sh"), OWN, 13, 210)
RUNNER = (MAIN, HELPER, NATIVE)


@pytest.mark.parametrize("listener", [NATIVE, SCRIPT])
def test_programs_are_the_listener_and_its_worker(listener: Process) -> None:
    assert programs([MAIN, HELPER, listener], ROOT, UNIT) == ([12], [])
    assert programs([MAIN, HELPER, listener, JOB, SHELL], ROOT, UNIT) == ([12], [13])
    # Between fork and exec the worker looks like its listener. A drain must see it.
    between = listener._replace(pid=13, parent=12, started=200)
    assert programs([MAIN, HELPER, listener, between], ROOT, UNIT) == ([12, 13], [])


@pytest.mark.parametrize("running", [RUNNER, (*RUNNER, JOB, SHELL)], ids=["idle", "in a job"])
@pytest.mark.parametrize("name", ["Runner.Worker", "Runner.Listener"])
@pytest.mark.parametrize("parent", [1, 14], ids=["orphan", "child of a step"])
@pytest.mark.parametrize("place", [f"{ROOT}/bin", "bin", f"{ROOT}/bin.1"])
def test_programs_ignore_what_only_bears_the_name(
    running: tuple[Process, ...], name: str, parent: int, place: str
) -> None:
    """A copy of sleep kept a drain from ending and the machine awake."""
    fake = Process(20, f"{place}/{name}", (f"{place}/{name}",), OWN, parent, 220)
    child = Process(21, WORKER, (WORKER,), OWN, 20, 221)
    assert programs([*running, fake, child], ROOT, UNIT) == programs(running, ROOT, UNIT)


def test_programs_ignore_an_orphan_while_the_listener_is_gone() -> None:
    fake = Process(20, LISTENER, (LISTENER,), OWN, 1, 220)
    assert programs([MAIN, HELPER, fake, JOB._replace(parent=20)], ROOT, UNIT) == ([], [])


def test_programs_include_a_runner_started_by_hand() -> None:
    by_hand = [each._replace(cgroup="0::/user.slice/session-1.scope") for each in (NATIVE, JOB)]
    assert programs(by_hand, ROOT, UNIT) == ([12], [13])


def test_programs_survive_a_loop_of_parents() -> None:
    """Processes are read one after the other, so their parents may not fit together."""
    one = NATIVE._replace(parent=13)
    other = HELPER._replace(pid=13, parent=12)
    assert programs([one, other], ROOT, UNIT) in (([], []), ([12], []))


def test_processes_reads_parent_and_start() -> None:
    own = next(each for each in processes() if each.pid == os.getpid())
    parent = next(each for each in processes() if each.pid == os.getppid())
    assert own.parent == parent.pid
    assert 0 < parent.started <= own.started


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


def test_job_processes_are_all_but_the_main_line() -> None:
    seen = [
        Process(1, "/sbin/init", ("init",), "0::/init.scope"),
        Process(10, "/bin/bash", (f"{ROOT}/run.sh",), OWN, 1, 100),
        Process(11, f"{ROOT}/bin/Runner.Listener", ("x",), OWN, 10, 101),
        Process(12, WORKER, ("x",), OWN, 11, 102),
        Process(13, "/bin/sh", ("sh",), OWN, 12, 103),
        Process(14, "/bin/dd", ("orphan",), f"0::/a.slice/{UNIT}/below", 1, 104),
        Process(15, f"{ROOT}/bin/Runner.Listener", ("claims to be one",), OWN, 13, 105),
        Process(16, "/bin/dd", ("a neighbour's",), OTHER, 1, 106),
        Process(17, "/bin/dd", ("a person's",), "0::/user.slice", 1, 107),
    ]
    assert job_processes(seen, ROOT, UNIT) == [12, 13, 14, 15]
    # Without a listener, nothing in the unit reports a job.
    assert job_processes([each for each in seen if each.pid not in (11, 12, 15)], ROOT, UNIT) == [10, 13, 14]
