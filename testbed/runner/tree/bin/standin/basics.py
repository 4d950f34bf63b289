"""What all parts of the runner share: exit codes, its root directory, its version, its errors."""

from __future__ import annotations

import os
from pathlib import Path

SUCCESS = 0
TERMINATED = 1
RETRYABLE = 2
UPDATING = 3
RUN_ONCE_UPDATING = 4
SESSION_CONFLICT = 5

# The worker's own exit codes: 100 plus the number that the runner's source gives a result.
WORKER_RESULTS = {"success": 100, "failure": 102, "cancelled": 103}
RESULT_NAMES = {"success": "Succeeded", "failure": "Failed", "cancelled": "Canceled"}


class RunnerError(Exception):
    """A failure told to the person at the terminal; the command ends with 1."""


def root_directory() -> Path:
    """Return the runner's directory, found from the real path of its code as the original does."""
    return Path(__file__).resolve().parents[2]


def version() -> str:
    """Return the version this package was built as."""
    return Path(__file__).with_name("VERSION").read_text(encoding="ascii").strip()


def name_process(name: str) -> None:
    """Let ps and pgrep show ``name`` instead of python3."""
    try:
        Path("/proc/self/comm").write_text(name[:15], encoding="ascii")
    except OSError:
        # Cosmetic: the command line names the program as well.
        return


def refuse_root() -> None:
    """Raise RunnerError for uid 0, as the original does unless RUNNER_ALLOW_RUNASROOT is set."""
    if os.geteuid() == 0 and not os.environ.get("RUNNER_ALLOW_RUNASROOT"):
        raise RunnerError("Must not run interactively with sudo")
