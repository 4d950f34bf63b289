"""``runnerctl lock`` as a process: its lock, its command's signals, and its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.host import named_lock
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import LockTimeoutError

from tests._support.installed_agent import NOBODY, Agent, first_line, heed_the_keyboard


def is_free(agent: Agent, name: str) -> bool:
    try:
        named_lock.acquire(str(agent.locks), name, timeout_seconds=0).release()
    except LockTimeoutError:
        return False
    return True


def gone_within(pid: int, seconds: float) -> bool:
    """Tell whether process ``pid`` ends within ``seconds``; a zombie has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
)
def test_lock_run_returns_the_commands_exit_code(
    agent: Agent, user: int | None, script: str, status: int
) -> None:
    agent.run("lock", "run", "x", "--", "sh", "-c", script, status=status, user=user)


def test_lock_run_passes_streams_and_words(agent: Agent) -> None:
    script = 'cat; printf "%s|" "$@"'
    done = agent.run("lock", "run", "x", "--", "sh", "-c", script, "sh", "--", "--json", "a b", stdin="in ")
    assert done.stdout == "in --|--json|a b|"


def test_lock_run_names_a_command_that_cannot_start(agent: Agent) -> None:
    missing = agent.run("lock", "run", "x", "--", "nonesuch", status=127)
    assert (
        missing.stderr
        == "runnerctl: 'nonesuch' cannot be started (No such file or directory); check the command.\n"
    )
    refused = agent.run("lock", "run", "x", "--", str(agent.locks), status=126)
    assert "Permission denied" in refused.stderr
    assert is_free(agent, "x")


def test_lock_run_passes_default_signals_and_no_descriptor(agent: Agent) -> None:
    script = "grep -E '^Sig(Blk|Ign)' /proc/self/status; ls -l /proc/self/fd"
    direct = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, input="")
    locked = agent.run("lock", "run", "x", "--", "sh", "-c", script)
    assert locked.stdout.splitlines()[:2] == direct.stdout.splitlines()[:2]
    assert named_lock.FILE not in locked.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_lock_run_passes_signals_on(agent: Agent, number: signal.Signals) -> None:
    name = number.name[3:]
    script = f"trap 'echo got; exit 5' {name}; echo ready; while :; do sleep 0.05; done"
    with agent.start("lock", "run", "x", "--", "sh", "-c", script) as process:
        assert first_line(process) == "ready"
        process.send_signal(number)
        assert first_line(process) == "got"
        assert process.wait(30) == 5
    assert is_free(agent, "x")


def test_lock_run_passes_an_interrupt_once(agent: Agent) -> None:
    """From a terminal the whole group gets it; passed on as well, it would come twice."""
    script = "trap 'echo got' INT; echo ready; for i in 1 2 3 4 5 6 7 8; do sleep 0.05; done"
    controller, terminal = os.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", agent.command, "lock", "run", "x", "--", "sh", "-c", script],
        stdin=terminal,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed_the_keyboard,
    )
    try:
        assert first_line(process) == "ready"
        os.write(controller, b"\x03")
        assert process.stdout is not None
        assert process.stdout.read().split() == ["got"]
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(controller)
        os.close(terminal)


def test_lock_run_killed_frees_the_lock_and_kills_its_command(agent: Agent) -> None:
    with agent.start("lock", "run", "x", "--", "sh", "-c", "echo $$; exec sleep 60") as process:
        command = int(first_line(process))
        assert not is_free(agent, "x")
        process.kill()
        assert gone_within(command, 10)
    assert is_free(agent, "x")


def test_lock_run_excludes_writers_and_admits_readers(agent: Agent, user: int | None) -> None:
    with agent.start("lock", "run", "x", "--shared", "--", "sh", "-c", "echo in; read end") as reader:
        assert first_line(reader) == "in"
        agent.run("lock", "run", "x", "--shared", "--timeout", "0", "--", "true", user=user)
        refused = agent.run("lock", "run", "x", "--timeout", "0", "--", "true", user=user, status=3)
        assert f"process {reader.pid} (runnerctl) holds it" in refused.stderr
        reader.communicate("\n", timeout=30)
    agent.run("lock", "run", "x", "--timeout", "0", "--", "true", user=user)


def test_lock_run_names_the_holder_while_it_waits(agent: Agent) -> None:
    with agent.start("lock", "run", "x", "--", "sh", "-c", "echo in; read end") as holder:
        assert first_line(holder) == "in"
        with agent.start("lock", "run", "x", "--", "echo", "mine") as waiter:
            assert waiter.stderr is not None
            message = waiter.stderr.readline()
            assert f"s for the lock x: process {holder.pid} (runnerctl) holds it" in message
            (listed,) = json.loads(agent.run("lock", "list", "--json").stdout)
            assert [each["pid"] for each in listed["waiters"]] == [waiter.pid]
            holder.communicate("\n", timeout=30)
            assert first_line(waiter) == "mine"


def test_lock_run_timeout_names_time_and_holder(agent: Agent) -> None:
    with agent.start("lock", "run", "x", "--", "sh", "-c", "echo in; read end") as holder:
        assert first_line(holder) == "in"
        done = agent.run("lock", "run", "x", "--timeout", "0.2", "--", "echo", "never", status=3)
        assert "The lock x was not free within 0.2 s, because process" in done.stderr
        assert done.stdout == ""
        as_json = agent.run("lock", "run", "x", "--timeout", "0", "--json", "--", "true", status=3)
        assert "was not free within 0 s" in json.loads(as_json.stdout)["error"]
        table = agent.run("lock", "list").stdout.splitlines()
        assert table[0].split() == ["LOCK", "MODE", "HELD", "BY", "WAITING"]
        assert table[1].startswith(f"x     exclusive  process {holder.pid} (runnerctl)")
        holder.communicate("\n", timeout=30)
    assert agent.run("lock", "list").stdout == f"no lock in {agent.locks} is held\n"
    assert json.loads(agent.run("lock", "list", "--json").stdout) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become two users")
def test_lock_run_protects_the_lock_file_from_other_users(agent: Agent) -> None:
    other = NOBODY - 1
    path = agent.locks / named_lock.FILE
    for attempt in (f"rm -f {path}", f"mv {path} {path}.y", f"ln -sfn /etc/passwd {path}", f"chmod 0 {path}"):
        with agent.spawn(*attempt.split(), user=other) as refused:
            assert refused.wait(30) != 0, attempt
    with agent.start("lock", "run", "x", "--", "sh", "-c", "echo in; read end", user=other) as holder:
        assert first_line(holder) == "in"
        done = agent.run("lock", "run", "x", "--timeout", "0", "--", "true", user=NOBODY, status=3)
        assert f"process {holder.pid} (runnerctl) holds it" in done.stderr
        agent.run("lock", "run", "y", "--timeout", "0", "--", "true", user=NOBODY)
        holder.communicate("\n", timeout=30)


def test_lock_run_refuses_a_planted_link(agent: Agent, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (agent.locks / named_lock.FILE).unlink()
    (agent.locks / named_lock.FILE).symlink_to(victim)
    done = agent.run("lock", "run", "x", "--", "true", status=3)
    assert "cannot be opened" in done.stderr
    assert victim.read_text() == "kept"


def test_lock_run_refuses_an_unsafe_directory(agent: Agent) -> None:
    agent.locks.chmod(0o777)
    done = agent.run("lock", "run", "x", "--", "true", status=3)
    assert "is not safe, because other users could replace its files" in done.stderr
    missing = agent.run("lock", "run", "x", "--dir", "/nonexistent", "--", "true", status=3)
    assert "converge the host with the role agent" in missing.stderr
    assert json.loads(agent.run("lock", "list", "--dir", "/nonexistent", "--json").stdout) == []


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x\ny", "x" * 129])
def test_lock_run_refuses_an_invalid_name(agent: Agent, name: str) -> None:
    done = agent.run("lock", "run", "--", "true", status=2) if not name else None
    done = done or agent.run("lock", "run", name, "--", "true", status=3)
    assert done.stderr
    assert list(agent.locks.iterdir()) == [agent.locks / named_lock.FILE]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lock", "run", "x"], "There is no command to run; call it as: runnerctl lock run NAME"),
        (["lock", "run", "x", "--"], "There is no command to run"),
        (["lock", "run", "x", "true"], "unrecognized arguments: true"),
        (["lock", "run", "x", "--timeout", "soon", "--", "true"], "soon is not a number of seconds"),
        (["lock", "run", "x", "--timeout", "nan", "--", "true"], "nan is not a number of seconds"),
        (["lock", "list", "--", "true"], "'lock list' runs no command"),
        (["lock"], "the following arguments are required: COMMAND"),
        (["nonesuch"], "invalid choice"),
    ],
)
def test_lock_explains_a_wrong_call(agent: Agent, words: list[str], message: str) -> None:
    assert message in agent.run(*words, status=2).stderr


def test_runnerctl_help_lists_the_commands(agent: Agent) -> None:
    assert {"cache", "lock", "package"} <= set(agent.run("--help").stdout.split())
    assert "--shared" in agent.run("lock", "run", "--help").stdout
