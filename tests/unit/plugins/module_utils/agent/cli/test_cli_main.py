"""The exit codes of ``runnerctl``, also without a reader of its output."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests._support.installed_agent import NOBODY, PYTHON, Agent, first_line


@pytest.fixture
def unread() -> Iterator[int]:
    """The writing end of a pipe without a reader."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def test_main_fails_when_the_command_never_ran(agent: Agent, unread: int, tmp_path: Path) -> None:
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
def test_main_exit_code_does_not_depend_on_readers(
    agent: Agent, unread: int, words: list[str], status: int, stream: str
) -> None:
    for name in ("run", "state", "runners", "config"):
        (agent.root / name).mkdir(exist_ok=True)
    heard = agent.run(*words, status=status)
    stdout, stderr = (unread if stream == name else subprocess.DEVNULL for name in ("stdout", "stderr"))
    done = subprocess.run([agent.command, *words], stdout=stdout, stderr=stderr, check=False, timeout=60)
    assert done.returncode == heard.returncode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    "words",
    [
        *(["heal"], ["heal", "--dry-run"], ["job", "prepare", "one"], ["job", "watch", "one"]),
        *(["drain", "one"], ["resume", "one"], ["enrol", "one"], ["egress", "load"], ["package", "settle"]),
        *(["security"], ["changes"], ["cache", "collect"], ["cache", "verify", "--repair"]),
        *(["status", "--acknowledge"], ["health", "--publish"], ["report", "--output", "/etc/report.html"]),
        *(["history"], ["metrics", "report"]),
    ],
    ids=" ".join,
)
def test_command_of_another_user_ends_in_one_sentence(agent: Agent, words: list[str]) -> None:
    for name in ("run", "state", "runners", "config", "store"):
        (agent.root / name).mkdir(exist_ok=True)
    done = subprocess.run(
        [agent.command, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **agent.identity(NOBODY),
    )
    assert "Traceback" not in done.stderr
    assert "all well" not in done.stdout, "what cannot be seen is not well"
    assert len(done.stderr.splitlines()) <= 1
    assert not done.stderr or done.returncode != 0
    assert ".self-test" not in done.stderr
    assert "report.html." not in done.stderr, "a temporary name means nothing to a person"


def test_version_is_that_of_the_collection(agent: Agent) -> None:
    said = agent.run("--version").stdout.split()
    galaxy = yaml.safe_load((Path(__file__).parents[6] / "galaxy.yml").read_text())
    assert said[:2] == ["runnerctl", galaxy["version"]]


def test_debug_shows_the_traceback_and_reads(agent: Agent) -> None:
    plain = agent.run("history", "--import", "/nonexistent", status=3)
    shown = agent.run("--debug", "history", "--import", "/nonexistent", status=3)
    assert (shown.stdout, "Traceback" in plain.stderr) == (plain.stdout, False)
    assert plain.stderr in shown.stderr, "the sentence stays"
    assert "Traceback" in shown.stderr
    assert "runnerctl: debug: reads /nonexistent\n" in shown.stderr
    assert ".pyc" not in shown.stderr, "imports say nothing of the command"


def test_debug_shows_runs_and_writes(agent: Agent) -> None:
    (agent.root / "run").mkdir(exist_ok=True)
    shown = agent.run("status", "--debug", "--json")
    assert "runnerctl: debug: runs systemctl " in shown.stderr
    shown = agent.run("report", "--debug", "--output", str(agent.root / "page"))
    assert f"runnerctl: debug: writes {agent.root}/" in shown.stderr


def test_debug_shows_no_word_of_a_command_of_a_job(agent: Agent) -> None:
    words = ["lock", "run", "b", "--debug", "--", "sh", "-c", "true $1 --debug", "sh", "user-secret"]
    shown = agent.run(*words)
    assert "runnerctl: debug: runs /" in shown.stderr
    assert "user-secret" not in shown.stderr, "the words of a job's command are the job's"


def test_debug_behind_the_dashes_belongs_to_the_command(agent: Agent) -> None:
    done = agent.run("lock", "run", "b", "--", "echo", "--debug")
    assert (done.stdout, "debug:" in done.stderr) == ("--debug\n", False)


def test_debug_without_a_reader_changes_nothing(agent: Agent, unread: int) -> None:
    words = [str(agent.command), "--debug", "lock", "run", "b", "--", "true"]
    assert subprocess.run(words, stderr=unread, check=False, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("words", "unused"),
    [(["status"], "socket"), (["heal", "--dry-run"], "socket"), (["metrics", "--help"], "html")],
)
def test_main_does_not_import_what_a_command_leaves_unused(
    agent: Agent, words: list[str], unused: str
) -> None:
    argv = [PYTHON, "-I", "-X", "importtime", str(agent.command), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in loaded
    assert unused not in loaded
