"""Files and tools for the tests of the checkout itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT))


class Tool(Protocol):
    """Function that runs a program of the test environment and checks its status.

    A failure shows the output.
    """

    def __call__(
        self, *argv: str | Path, cwd: Path = ..., status: int = ..., environment: Mapping[str, str] = ...
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="session")
def tool() -> Tool:
    def perform(
        *argv: str | Path, cwd: Path = CHECKOUT, status: int = 0, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).parent / argv[0]
        done = subprocess.run(
            [program, *argv[1:]],
            cwd=cwd,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", **(environment or {})},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == status, f"{argv}\n{done.stdout}\n{done.stderr}"
        return done

    return perform


@pytest.fixture(scope="session")
def files() -> list[Path]:
    """Return every file that is committed or could be, relative to the checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(Path(name) for name in listed.stdout.split("\0") if name and (CHECKOUT / name).is_file())
