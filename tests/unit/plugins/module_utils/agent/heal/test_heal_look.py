"""The evidence as it is found: processes, their sockets, logs, and what the journal says."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.look import (
    Place,
    connections,
    gather,
    instance_names,
    meaning,
)
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.rules import HEALTHY, Evidence, Known

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
    (found,) = gather(place, known or {})
    return found


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def test_an_instance_at_rest_is_seen_so(instance: Instance) -> None:
    instance.units[UNIT] = {"ActiveState": "inactive", "SubState": "dead", "UnitFileState": "disabled"}
    found = look(instance)
    assert (found.enabled, found.active_state, found.listener, found.worker) == (
        False,
        "inactive",
        False,
        False,
    )
    assert found.registered
    assert found.connections is None


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
def test_what_systemd_shows(instance: Instance, shown: dict[str, str], field: str, value: object) -> None:
    instance.units[UNIT].update(shown)
    assert getattr(look(instance), field) == value


def test_listener_and_worker_are_this_instances_own(instance: Instance) -> None:
    instance.start("Runner.Listener")
    assert (look(instance).listener, look(instance).worker) == (True, False)
    instance.start("Runner.Worker")
    assert look(instance).worker


def test_an_instance_behind_a_link_is_the_same(instance: Instance, tmp_path: Path) -> None:
    instance.start("Runner.Worker")
    (tmp_path / "link").symlink_to(instance.base)
    instance.base = tmp_path / "link"
    assert look(instance).worker


def test_a_stopped_listener_is_frozen(instance: Instance) -> None:
    listener = instance.start("Runner.Listener")
    assert not look(instance).frozen
    os.kill(listener.pid, signal.SIGSTOP)
    until(lambda: look(instance).frozen)
    os.kill(listener.pid, signal.SIGCONT)
    until(lambda: not look(instance).frozen)


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_connections_are_the_established_ones_of_the_process(
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


def test_nobody_can_tell_of_a_process_that_is_gone() -> None:
    assert connections("/proc", 2**22 + 1) is None


def test_a_growing_log_is_a_sign_of_life(instance: Instance) -> None:
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
def test_a_registration_is_either_file(instance: Instance, names: list[str]) -> None:
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
def test_the_last_telling_line_of_the_journal_counts(text: str, meant: str) -> None:
    assert meaning(text) == meant


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
def test_the_journal_is_read_only_for_a_reason(
    instance: Instance, past: Known | None, shown: dict[str, str], reads: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        instance.start("Runner.Listener", CONNECTED.format(host="127.0.0.1", port=server.getsockname()[1]))
        instance.units[UNIT].update(shown)
        instance.journal = "Listening for Jobs"
        found = look(instance, {"one": past} if past else {})
    assert any(call[0] == "journalctl" for call in instance.calls) is reads
    assert found.said == ("listening" if reads else "")


def test_only_what_the_collection_has_made_is_an_instance(instance: Instance) -> None:
    (instance.base / "foreign" / "bin").mkdir(parents=True)
    (instance.base / "file").touch()
    assert instance_names(str(instance.base)) == ["one"]
    assert instance_names(str(instance.base / "missing")) == []
    assert instance_names(str(instance.base / "file")) == []
