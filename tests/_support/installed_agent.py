"""The package as the role installs it, in a directory of the test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.coldvox.ci.plugins.lookup.agent_files import LIBRARY, release_files
from ansible_collections.coldvox.ci.plugins.module_utils.host.named_lock import FILE
from ansible_collections.coldvox.ci.plugins.module_utils.host.paths import Paths, paths_of

NOBODY = 65534
SYSTEM_PYTHON = "/usr/bin/python3"
#: As the role's template has it: the system's, which every user can run. Only ours can measure the coverage.
PYTHON = (
    SYSTEM_PYTHON
    if os.access(SYSTEM_PYTHON, os.X_OK) and "COVERAGE_RUN" not in os.environ
    else sys.executable
)
COMMAND = """#!{python} -I
import os, sys
sys.path.insert(0, os.path.realpath("{directory}/current"))
from coldvox_ci.agent.cli.main import run
places = ("store", "run", "state", "runners", "config")
run({{place: "{directory}/" + place for place in places}})
"""


class Agent:
    """``runnerctl`` in ``root``, next to a store and a directory for locks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = root / "store"
        self.paths = paths_of({place: str(root / place) for place in Paths._fields})
        self.locks = Path(self.paths.locks)
        self.command = root / "runnerctl"

    def install(self) -> None:
        """Write the files that the lookup plugin gives, as the role does."""
        for entry in release_files(LIBRARY, str(self.root)):
            path = Path(entry["path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            if "source" in entry:
                shutil.copyfile(entry["source"], path)
            else:
                path.symlink_to(entry["link_to"])
        self.command.write_text(COMMAND.format(python=PYTHON, directory=self.root))
        self.command.chmod(0o755)
        for file in (self.paths.sample, self.paths.history):
            Path(file).parent.mkdir(parents=True)
        self.locks.mkdir()
        names = self.locks / FILE
        names.touch()
        names.chmod(0o666)

    def identity(self, user: int | None) -> dict[str, Any]:
        """Return what makes a subprocess one of ``user``; None stays who runs the tests."""
        return {} if user is None else {"user": user, "group": user, "extra_groups": []}

    def run(
        self, *words: str, status: int = 0, user: int | None = None, stdin: str = "", cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``runnerctl`` to its end, which must be ``status``."""
        done = subprocess.run(
            [self.command, *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=cwd or self.root,
            **self.identity(user),
        )
        assert done.returncode == status, f"{words} gave {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def start(self, *words: str, user: int | None = None) -> subprocess.Popen[str]:
        """Start ``runnerctl`` and return it running."""
        return self.spawn(str(self.command), *words, user=user)

    def spawn(self, *argv: str, user: int | None = None) -> subprocess.Popen[str]:
        """Start any program the same way."""
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.root,
            preexec_fn=heed_the_keyboard,
            **self.identity(user),
        )


def heed_the_keyboard() -> None:
    """Let SIGINT and SIGHUP act; a shell ignores them for tests in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def first_line(process: subprocess.Popen[str]) -> str:
    """Wait for the first line that ``process`` prints and return it."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
