"""Running other programs, behind one callable so that pure code never starts a process itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional, Protocol


class Result(NamedTuple):
    """What a finished program left: exit status and decoded output."""

    status: int
    stdout: str
    stderr: str


class Run(Protocol):
    """Runs ``argv`` to its end; ``environment`` replaces the inherited one when given."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        environment: Optional[Mapping[str, str]] = None,
        cwd: Optional[str] = None,
        timeout_seconds: Optional[float] = None,
    ) -> Result: ...


def run(
    argv: Sequence[str],
    *,
    environment: Optional[Mapping[str, str]] = None,
    cwd: Optional[str] = None,
    timeout_seconds: Optional[float] = None,
) -> Result:
    """Run ``argv`` without a shell and without a terminal, in the C locale so that output can be parsed.

    A program that is missing gives status 127 and one that exceeds ``timeout_seconds`` 124, as in a shell,
    so that callers have one way to judge.
    """
    full = dict(os.environ if environment is None else environment)
    full.setdefault("LC_ALL", "C.UTF-8")
    try:
        # A module's run_command is not at hand: the library also runs without Ansible.
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            list(argv),
            env=full,
            cwd=cwd,
            timeout=timeout_seconds,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        return Result(127, "", f"{error.filename}: not found")
    except subprocess.TimeoutExpired as error:
        return Result(124, "", f"{argv[0]}: no end after {error.timeout:g} s")
    return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
