"""What the end of ``runnerctl`` means stays the same when nobody reads what it says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests._support.installed_agent import Agent, first_line


@pytest.fixture
def unread() -> Iterator[int]:
    """The end of a pipe that nobody reads from."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def test_a_command_that_never_ran_did_not_succeed(agent: Agent, unread: int, tmp_path: Path) -> None:
    words = ["lock", "run", "b", "--timeout", "0.1", "--", "touch", str(tmp_path / "made")]
    with agent.start("lock", "run", "b", "--", "sh", "-c", "echo held; exec sleep 60") as holder:
        first_line(holder)
        done = subprocess.run([agent.command, *words], stderr=unread, check=False, timeout=60)
        holder.terminate()
    assert (done.returncode, (tmp_path / "made").exists()) == (3, False)


@pytest.mark.parametrize(
    ("words", "status"),
    [(["history", "--import", "/nonexistent"], 3), (["job", "started"], 3), (["status"], 0)],
)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_the_exit_code_is_that_of_the_command(
    agent: Agent, unread: int, words: list[str], status: int, stream: str
) -> None:
    for name in ("run", "state", "runners", "config"):
        (agent.root / name).mkdir(exist_ok=True)
    heard = agent.run(*words, status=status)
    stdout, stderr = (unread if stream == name else subprocess.DEVNULL for name in ("stdout", "stderr"))
    done = subprocess.run([agent.command, *words], stdout=stdout, stderr=stderr, check=False, timeout=60)
    assert done.returncode == heard.returncode
