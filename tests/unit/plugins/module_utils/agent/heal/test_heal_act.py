"""Actions on a real listener: what they do, and when they leave it alone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.act import DONE, perform
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.rules import (
    RESTART,
    START,
    THAW,
    Action,
    Done,
    History,
    Known,
    read,
    state_path,
    write,
)
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock
from ansible_collections.coldvox.ci.plugins.module_utils.runner.account import Host

from tests._support.heal_instance import Instance

UNIT = "coldvox-runner@one.service"


def act(instance: Instance, action: str) -> str:
    host = Host(run=instance.run, sleep=time.sleep, now=time.monotonic)
    return perform(host, str(instance.base), Action("one", action, "a test"))


def test_perform_starts_a_dead_unit(instance: Instance) -> None:
    assert act(instance, START) == DONE
    assert instance.asked("start") == [["systemctl", "start", UNIT]]
    assert instance.asked("stop") == []


def test_perform_stops_a_deaf_listener_before_the_start(instance: Instance) -> None:
    listener = instance.start("Runner.Listener")
    assert act(instance, RESTART) == DONE
    assert listener.wait(30) == -signal.SIGINT or listener.returncode != 0
    words = [call[1] for call in instance.calls if call[1] in ("stop", "start")]
    assert words[-1] == "start"
    assert words[0] == "stop"


@pytest.mark.parametrize("action", [START, RESTART, THAW])
def test_perform_does_nothing_while_a_worker_runs(instance: Instance, action: str) -> None:
    instance.start("Runner.Listener")
    instance.start("Runner.Worker")
    assert act(instance, action) == "left alone, because a job has begun"
    assert instance.calls == []
    assert all(process.poll() is None for process in instance.processes)


@pytest.mark.parametrize("action", [START, RESTART])
def test_perform_leaves_a_claimed_instance(instance: Instance, action: str) -> None:
    with Flock(str(instance.root / ".coldvox" / "lock")):
        assert act(instance, action).startswith("left alone, because ")
    assert instance.calls == []


def test_perform_leaves_a_drained_instance(instance: Instance) -> None:
    instance.units[UNIT]["UnitFileState"] = "disabled"
    assert act(instance, START) == "left alone, because it was disabled"
    assert instance.asked("start") == []


def test_perform_resumes_a_frozen_listener(instance: Instance) -> None:
    listener = instance.start("Runner.Listener")
    os.kill(listener.pid, signal.SIGSTOP)
    os.waitpid(listener.pid, os.WUNTRACED)
    assert act(instance, THAW) == DONE
    _pid, status = os.waitpid(listener.pid, os.WCONTINUED)
    assert os.WIFCONTINUED(status)


def test_perform_returns_the_error_of_systemd(instance: Instance) -> None:
    instance.refusal = "no bus"
    assert act(instance, START).startswith("failed: The program systemctl cannot show the units (no bus)")


def history() -> History:
    known = {"one": Known("dead", 5.0, "it is down", attempts=2), "two": Known("unregistered", detail="gone")}
    done = (Done(7.0, "one", "start", "it is down", DONE, "2026-01-01T00:00:00Z"),)
    return History("b", 9.0, 1.0, 0.0, {**known, "three": Known("deaf"), "four": Known("healthy")}, done)


def test_read_returns_the_written_state(tmp_path: Path) -> None:
    write(str(tmp_path), history(), 1767225600.0)
    state = read(str(tmp_path))
    assert state is not None
    assert state.history == history()
    assert state.checked_at == "2026-01-01T00:00:00Z"
    assert state.needs_person == ("one: it is down", "two: gone")
    assert os.stat(state_path(str(tmp_path))).st_mode & 0o777 == 0o644


@pytest.mark.parametrize("text", ["", "null", "[]", "{", '{"at": 1}', '{"instances": []}', "\0" * 100])
def test_read_ignores_a_damaged_state(tmp_path: Path, text: str) -> None:
    assert read(str(tmp_path)) is None
    Path(state_path(str(tmp_path))).write_text(text)
    assert read(str(tmp_path)) is None


@pytest.mark.parametrize(
    "plant", [os.mkfifo, lambda path: path.symlink_to(path.with_name("kept")), Path.mkdir]
)
def test_read_accepts_only_a_regular_file(tmp_path: Path, plant: Callable[[Path], object]) -> None:
    """The agent's account may have created something in its place."""
    path = Path(state_path(str(tmp_path)))
    write(str(tmp_path), History(), 0)
    path.rename(tmp_path / "kept")
    plant(path)
    assert read(str(tmp_path)) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_read_rejects_a_file_of_another_user(tmp_path: Path) -> None:
    write(str(tmp_path), History(), 0)
    assert read(str(tmp_path)) is not None
    os.chown(state_path(str(tmp_path)), 65534, 65534)
    assert read(str(tmp_path)) is None
