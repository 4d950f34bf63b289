"""What counts as a running job."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.runner.worker import (
    Process,
    has_worker,
    is_worker,
    processes,
)

ROOT, UNIT = "/srv/r/one", "coldvox-runner@one.service"


@pytest.mark.parametrize(
    ("executable", "arguments", "cgroup", "expected"),
    [
        (f"{ROOT}/bin/Runner.Worker", ("x",), "", True),
        (f"{ROOT}/bin.2.336.0/Runner.Worker", ("Runner.Worker", "spawnclient"), "", True),
        ("/usr/bin/python3", ("python3", f"{ROOT}/bin/Runner.Worker", "9"), "", True),
        ("/usr/bin/python3", ("python3", "bin/Runner.Worker"), f"0::/a.slice/{UNIT}", True),
        ("/usr/bin/python3", ("python3", "bin/Runner.Worker"), f"0::/a.slice/{UNIT}/sub", True),
        ("/srv/r/one-two/bin/Runner.Worker", ("x",), "0::/coldvox-runner@one-two.service", False),
        ("/tmp/x", (f"{ROOT}/bin/Runner.Worker",), "0::/a.slice/coldvox-runner@two.service", False),
        (f"{ROOT}/bin/Runner.Worker", ("x",), "0::/user.slice/session-1.scope", True),
        (f"{ROOT}/bin/Runner.Listener", ("x",), f"0::/a.slice/{UNIT}", False),
        ("/usr/bin/grep", ("grep", "-r", "x", f"{ROOT}/bin/Runner.Worker"), f"0::/{UNIT}", False),
    ],
)
def test_whose_job_it_is(executable: str, arguments: tuple[str, ...], cgroup: str, expected: bool) -> None:
    assert is_worker(Process(1, executable, arguments, cgroup), ROOT, UNIT) is expected


def test_a_command_line_without_end_is_not_kept(tmp_path: Path) -> None:
    """A job can give each of its processes one of megabytes, and all are looked at together."""
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cmdline").write_bytes(b"Runner.Worker\0" + b"x" * 1_000_000)
    (found,) = processes(str(tmp_path))
    assert found.arguments[0] == "Runner.Worker"
    assert len("".join(found.arguments)) < 20_000


def test_a_real_process_is_seen_while_it_lives(tmp_path: Path) -> None:
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
