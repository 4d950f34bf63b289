"""Exit codes, directory, version and errors, for all parts of the runner."""

from __future__ import annotations

import os
from pathlib import Path

SUCCESS = 0
TERMINATED = 1
RETRYABLE = 2
SESSION_CONFLICT = 5

# The worker's exit codes: 100 plus the number of the result in the source of GitHub's runner.
WORKER_RESULTS = {"success": 100, "failure": 102, "cancelled": 103}
RESULT_NAMES = {"success": "Succeeded", "failure": "Failed", "cancelled": "Canceled"}


class RunnerError(Exception):
    """A failure whose message goes to the terminal; the command exits with 1."""


def root_directory() -> Path:
    """Return the runner's directory.

    Like the original, it follows the links of its own code.
    """
    return Path(__file__).resolve().parents[2]


def version() -> str:
    """Return the version of this package."""
    return Path(__file__).with_name("VERSION").read_text(encoding="ascii").strip()


def name_process(name: str) -> None:
    """Make ps and pgrep show ``name`` instead of python3."""
    try:
        Path("/proc/self/comm").write_text(name[:15], encoding="ascii")
    except OSError:
        # Not essential: the command line has the program's name too.
        return


def refuse_root() -> None:
    """Raise RunnerError for uid 0.

    Like the original, it accepts root when RUNNER_ALLOW_RUNASROOT is set.
    """
    if os.geteuid() == 0 and not os.environ.get("RUNNER_ALLOW_RUNASROOT"):
        raise RunnerError("Must not run interactively with sudo")
