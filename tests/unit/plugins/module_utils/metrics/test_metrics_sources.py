"""The sources of a sample on this machine."""

from __future__ import annotations

import subprocess
import sys

from ansible_collections.coldvox.ci.plugins.module_utils.metrics import sources
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.instances import Unit


def test_runner_processes_do_not_keep_a_command_line_without_end() -> None:
    code = "import sys; print(flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", code, *["x" * 100_000] * 10]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (taken,) = sources.runner_processes({"one": Unit(True, None, None, (process.pid,))})
        assert process.stdin is not None
        process.stdin.close()
    assert taken.arguments[:3] == (sys.executable, "-c", code)
    assert len("".join(taken.arguments)) < 20_000
