"""The evidence of processes, their sockets, logs and the journal."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal import look as looking
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.journal import Line
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.look import (
    Place,
    clock_skew,
    connections,
    gather,
    instance_names,
    message_in,
    proven_message,
)
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.rules import HEALTHY, Evidence, Known
from ansible_collections.coldvox.ci.plugins.module_utils.runner.account import Account

from tests._support.heal_instance import Instance

UNIT = "coldvox-runner@one.service"
CONNECTED = """
import socket, sys
held = socket.create_connection(("{host}", {port}))
print(flush=True)
sys.stdin.readline()
held.close()
print(flush=True)
sys.stdin.readline()
"""


def look(instance: Instance, known: dict[str, Known] | None = None) -> Evidence:
    place = Place(instance.run, str(instance.base), str(instance.base.parent / "run"))
    (evidence,) = gather(place, known or {})
    return evidence


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def test_gather_shows_an_instance_at_rest(instance: Instance) -> None:
    instance.units[UNIT] = {"ActiveState": "inactive", "SubState": "dead", "UnitFileState": "disabled"}
    evidence = look(instance)
    assert (evidence.enabled, evidence.active_state, evidence.listener, evidence.worker) == (
        False,
        "inactive",
        False,
        False,
    )
    assert evidence.registered
    assert evidence.connections is None


@pytest.mark.parametrize(
    ("shown", "field", "value"),
    [
        ({"NRestarts": "7"}, "restarts", 7),
        ({"NRestarts": "[not set]"}, "restarts", 0),
        ({"Job": "815"}, "pending", True),
        ({"Job": ""}, "pending", False),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, "sub_state", "auto-restart"),
        ({"UnitFileState": "enabled-runtime"}, "enabled", False),
    ],
)
def test_gather_reads_the_unit(instance: Instance, shown: dict[str, str], field: str, value: object) -> None:
    instance.units[UNIT].update(shown)
    assert getattr(look(instance), field) == value


def test_gather_shows_listener_and_worker(instance: Instance) -> None:
    instance.start("Runner.Listener")
    assert (look(instance).listener, look(instance).worker) == (True, False)
    instance.start("Runner.Worker")
    assert look(instance).worker


def test_gather_follows_a_link_to_the_instances(instance: Instance, tmp_path: Path) -> None:
    instance.start("Runner.Worker")
    (tmp_path / "link").symlink_to(instance.base)
    instance.base = tmp_path / "link"
    assert look(instance).worker


def test_gather_shows_a_stopped_listener_as_frozen(instance: Instance) -> None:
    listener = instance.start("Runner.Listener")
    assert not look(instance).frozen
    os.kill(listener.pid, signal.SIGSTOP)
    until(lambda: look(instance).frozen)
    os.kill(listener.pid, signal.SIGCONT)
    until(lambda: not look(instance).frozen)


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_connections_counts_the_established_ones_of_the_process(
    instance: Instance, family: Any, host: str
) -> None:
    with socket.socket(family) as server:
        try:
            server.bind((host, 0))
        except OSError as error:
            pytest.skip(f"this machine has no {host}: {error}")
        server.listen()
        code = CONNECTED.format(host=host, port=server.getsockname()[1])
        listener = instance.start("Runner.Listener", code)
        accepted, _address = server.accept()
        assert look(instance).connections == 1
        accepted.close()
        assert listener.stdin is not None
        assert listener.stdout is not None
        listener.stdin.write(b"\n")
        listener.stdin.flush()
        listener.stdout.readline()
        assert look(instance).connections == 0


def test_connections_of_an_ended_process_is_none() -> None:
    assert connections("/proc", 2**22 + 1) is None


def test_gather_changes_the_mark_of_a_growing_log(instance: Instance) -> None:
    marks = [look(instance).log_mark]
    log = instance.root / "_diag" / "Runner_20260101-000000-utc.log"
    for path in (log, log, log.with_name("Runner_20260102-000000-utc.log")):
        with path.open("a") as stream:
            stream.write("a line\n")
        marks.append(look(instance).log_mark)
    assert len(set(marks)) == 4
    log.with_name("Worker_20260103-000000-utc.log").write_text("not the listener's")
    assert look(instance).log_mark == marks[-1]


@pytest.mark.parametrize("names", [[], [".runner"], [".runner_migrated"]])
def test_gather_accepts_either_registration_file(instance: Instance, names: list[str]) -> None:
    (instance.root / ".runner").unlink()
    for name in names:
        (instance.root / name).touch()
    assert look(instance).registered is bool(names)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", ""),
        ("nothing that says anything", ""),
        ("√ Connected to GitHub\n2026-01-01 00:00:00Z: Listening for Jobs\n", "listening"),
        ("Listening for Jobs\nRunner connect error: x. Retrying until reconnected.\n", "offline"),
        ("Runner connect error: x\nRunner reconnected.\n", "listening"),
        ("A session for this runner already exists.\n", "conflict"),
        ("Runner listener exit with Session Conflict error, stop the service, no retry needed.", "conflict"),
        ("A session for this runner already exists.\n: Listening for Jobs", "listening"),
        (
            "Failed to create a session. The runner registration has been deleted from the server, x",
            "deleted",
        ),
        ("The local machine's clock may be out of sync with the server time by more than five", "clock"),
        ("The runner no longer exists on the server. Cleaning up local configuration.", "deleted"),
        ("Runner version v2.300.0 is deprecated and cannot receive messages.", "deprecated"),
        (
            "Listening for Jobs\nsomething else\nRunning job: x\nJob x completed with result: Failed",
            "listening",
        ),
        ("Running job: registration has been deleted", "listening"),
        ("Job registration has been deleted completed with result: Failed", "listening"),
    ],
)
def test_message_in_returns_the_last_known_message(text: str, meant: str) -> None:
    assert message_in([Line(1.0, 7, line) for line in text.splitlines()]) == meant


@pytest.mark.parametrize(
    ("past", "shown", "reads"),
    [
        (None, {}, True),
        (Known(condition=HEALTHY), {}, False),
        (Known(condition=HEALTHY), {"NRestarts": "1"}, True),
        (Known(condition=HEALTHY), {"ActiveState": "activating"}, True),
        (Known(condition="deaf"), {}, True),
        (None, {"UnitFileState": "disabled"}, False),
    ],
)
def test_gather_reads_the_journal_only_for_a_reason(
    instance: Instance, past: Known | None, shown: dict[str, str], reads: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = CONNECTED.format(host="127.0.0.1", port=server.getsockname()[1])
        listener = instance.start("Runner.Listener", code)
        instance.units[UNIT].update(shown)
        instance.journal = entry(5, listener.pid, "Listening for Jobs")
        evidence = look(instance, {"one": past} if past else {})
    assert any(call[0] == "journalctl" for call in instance.calls) is reads
    assert evidence.message == ("listening" if reads else "")


def entry(at: float, pid: int, text: str, **fields: str) -> str:
    """A line of a process of an account, as journalctl prints it."""
    data = {"__REALTIME_TIMESTAMP": str(int(at * 1e6)), "_PID": str(pid), "_UID": "990", "MESSAGE": text}
    return json.dumps({**data, "_TRANSPORT": "stdout", **fields}) + "\n"


def life(invocation: str, at: float, *lines: tuple[int, str]) -> str:
    """The journal of a start of the unit at ``at``, with ``lines`` of processes."""
    starting = {"UNIT": UNIT, "INVOCATION_ID": invocation, "MESSAGE_ID": "7d4958e842da4a758f6c1cdc7b36dcc5"}
    began = entry(at, 1, "Starting", **starting, _UID="0", _TRANSPORT="journal")
    return began + "".join(
        entry(at + number, pid, text, _SYSTEMD_INVOCATION_ID=invocation)
        for number, (pid, text) in enumerate(lines, 1)
    )


LISTENER, HELPER, JOB = 70, 71, 90
DELETED = "The runner registration has been deleted from the server"
WORK = [(LISTENER, "Listening for Jobs"), (LISTENER, "Running job: build")]


@pytest.mark.parametrize(
    ("journal", "meant"),
    [
        (life("a", 100, (LISTENER, "Listening for Jobs"), (LISTENER, DELETED)), "deleted"),
        (life("a", 100, (LISTENER, "Listening for Jobs"), (HELPER, "Session Conflict error")), "conflict"),
        (life("a", 100, *WORK, (JOB, DELETED)), "listening"),
        (life("a", 100, *WORK, *[(JOB, DELETED)] * 200), "listening"),
        (life("a", 100, *WORK, (LISTENER, "A session for this runner already exists")), "conflict"),
        # The journal's limit has removed the beginning, and what stays is a job's.
        (life("a", 100, (JOB, DELETED)).replace('"100000000"', '"900000000"'), ""),
        (life("a", 100, *WORK, (JOB, DELETED)) + life("b", 500), "listening"),
        (life("a", 100, (LISTENER, DELETED)) + life("b", 500, (HELPER, "waits")), "deleted"),
        (life("a", 100, (LISTENER, DELETED)) + life("b", 500, *WORK), "listening"),
        (life("a", 100, (LISTENER, DELETED)) + life("b", 500) + life("c", 700), ""),
        (entry(100, JOB, DELETED, UNIT=UNIT, INVOCATION_ID="a"), ""),
    ],
)
def test_proven_message_ignores_lines_of_jobs(instance: Instance, journal: str, meant: str) -> None:
    """A job's logger kept a dead listener untouched for 175 s."""
    instance.journal = journal
    assert proven_message(instance.run, UNIT) == meant


def test_proven_message_ignores_lines_of_root(instance: Instance) -> None:
    """Root may name a file that a job created."""
    instance.journal = life("a", 100) + entry(
        101, 60, f"cannot remove '{DELETED}'", _SYSTEMD_INVOCATION_ID="a", _UID="0"
    )
    assert proven_message(instance.run, UNIT) == ""


def test_proven_message_of_a_running_listener_is_its_own(instance: Instance) -> None:
    """Several jobs in one invocation, and a listener that came after them."""
    instance.journal = life("a", 100, *WORK, (JOB, DELETED), (99, "Runner connect error: x"), (JOB, DELETED))
    assert proven_message(instance.run, UNIT, "a", [99]) == "offline"
    assert proven_message(instance.run, UNIT, "a", [98]) == "listening"
    assert proven_message(instance.run, UNIT, "b", [98]) == ""


def test_instance_names_lists_only_our_instances(instance: Instance) -> None:
    (instance.base / "foreign" / "bin").mkdir(parents=True)
    (instance.base / "file").touch()
    assert instance_names(str(instance.base)) == ["one"]
    assert instance_names(str(instance.base / "missing")) == []
    assert instance_names(str(instance.base / "file")) == []


def skewed(instance: Instance, seconds: float, asked: list[str] | None = None) -> str:
    def skew(url: str) -> float:
        if asked is not None:
            asked.append(url)
        return seconds

    place = Place(instance.run, str(instance.base), str(instance.base.parent / "run"), clock_skew=skew)
    (evidence,) = gather(place, {})
    return evidence.message


def test_gather_asks_for_the_time_before_it_believes_in_a_deletion(instance: Instance) -> None:
    """actions/runner issue 4648: with a clock that is behind, the runner says that it was deleted."""
    (instance.root / ".coldvox" / "registration.json").write_text('{"url": "https://github.com/o/r"}')
    instance.journal = life("a", 100, (LISTENER, DELETED))
    asked: list[str] = []
    assert skewed(instance, 3600, asked) == "clock"
    assert asked == ["https://github.com/o/r"]
    assert skewed(instance, 2) == "deleted"
    instance.journal = life("a", 100, (LISTENER, "Listening for Jobs"))
    asked.clear()
    assert skewed(instance, 3600, asked) == "listening"
    assert asked == []


def test_clock_skew_is_that_of_the_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/o/r"

        def answer() -> None:
            accepted, _address = server.accept()
            with accepted:
                accepted.recv(4096)
                date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))
                accepted.sendall(f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode())

        thread = threading.Thread(target=answer)
        thread.start()
        assert clock_skew(url) == pytest.approx(3600, abs=30)
        thread.join()
    assert clock_skew(url) == 0.0, "a server that does not answer proves nothing"
    assert clock_skew("") == 0.0


def test_gather_changes_the_mark_when_the_runner_begins_a_job(instance: Instance) -> None:
    """Also if the job then fails before its first hook, which would write a record."""
    marks = [look(instance).spool_mark]
    log = instance.root / "_diag" / "Worker_20260101-000000-utc.log"
    log.touch()
    marks.append(look(instance).spool_mark)
    kept = instance.root / ".coldvox" / "diagnostics"
    kept.mkdir()
    log.rename(kept / log.name)
    assert look(instance).spool_mark == marks[1], "root moves the logs between two jobs"
    log.with_name("Worker_20260102-000000-utc.log").touch()
    marks.append(look(instance).spool_mark)
    assert len(set(marks)) == 3


def test_gather_reports_directories_that_jobs_cannot_use(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_home", "_work"):
        (instance.root / name).mkdir()
    own = Account("ci-one", os.geteuid(), os.getegid())
    monkeypatch.setattr(looking, "account_of", lambda _name: own)
    assert look(instance).unusable == ""
    monkeypatch.setattr(looking, "account_of", lambda _name: own._replace(uid=own.uid + 1))
    assert f"belongs to user id {own.uid} and not to ci-one; converge this host" in look(instance).unusable
    instance.start("Runner.Worker")
    assert look(instance).unusable == "", "a container of a job may have files of its own"
