"""Who changed what, from the records of a real kernel.

``data/audit.log`` is the output of ``ausearch --raw -k coldvox_`` (audit 3.0.9) after a session under
User-Mode Linux 7.2 with the rules of the role hardening, loaded by augenrules. Only the records of most
loaded rules were removed. In this session

- root made the account alice;
- alice logged in, became root, and changed sudo rules, a group, a unit, files of a runner and SSH keys;
- a service changed the settings of the agent, published a tree in the store, and changed a file in that tree
  and one of the runner;
- the account nobody tried to write to /etc/passwd and /etc/sudoers.d six times;
- alice removed the rules for sudo.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.changes import (
    Change,
    changes,
    read,
    unrecorded,
)
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import Result

LOG = (Path(__file__).parent / "data" / "audit.log").read_text(encoding="utf-8")
AT = 1795889563


def named(number: int) -> str:
    return f"user {number}"


def recorded(text: str = LOG) -> list[Change]:
    return changes(text.split("\n"), named)


def answering(status: int, stdout: str = "", stderr: str = "") -> Any:
    return lambda _argv, **_options: Result(status, stdout, stderr)


def test_changes_name_the_person_the_account_the_file_and_the_command() -> None:
    lines = [(each.login, each.account, each.topic, each.files, each.command) for each in recorded()]
    alice = ("alice", "root")
    script = "bash /tmp/audit-tool/acts.sh"
    assert lines[2:11] == [
        (*alice, "sudo", ("/etc/sudoers.d/alice",), script),
        (*alice, "sudo", ("/etc/sudoers.d/alice",), "chmod 0440 /etc/sudoers.d/alice"),
        (*alice, "accounts", (lines[4][3][0], "/etc/group"), "sed -i s/root/root/ /etc/group"),
        (*alice, "units", ("/etc/systemd/system/x.service.d",), "mkdir -p /etc/systemd/system/x.service.d"),
        (*alice, "units", ("/etc/systemd/system/x.service.d/with space.conf",), script),
        (*alice, "sudo", ("/etc/sudoers.d/alice",), "rm /etc/sudoers.d/alice"),
        (*alice, "runners", ("/var/lib/actions-runner/one/.env",), script),
        (
            *alice,
            "runners",
            ("/var/lib/actions-runner/one/moved",),
            "mv /run/z /var/lib/actions-runner/one/moved",
        ),
        (*alice, "ssh", ("/root/.ssh/authorized_keys",), script),
    ]


def test_changes_of_one_command_are_one_change() -> None:
    (made,) = [each for each in recorded() if each.command.startswith("useradd")]
    assert (made.login, made.account, made.topic, made.program) == (
        "",
        "root",
        "accounts",
        "/usr/sbin/useradd",
    )
    assert {"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"} <= set(made.files)
    assert made.at == pytest.approx(AT, abs=2)


def test_changes_show_that_somebody_turned_the_recording_off() -> None:
    last = recorded()[-1]
    assert (last.login, last.topic, last.files) == ("alice", "audit", ("rules: remove rule",))


def test_changes_leave_out_attempts_services_in_a_runner_and_the_content_of_trees() -> None:
    files = [(each.login, path) for each in recorded() for path in each.files]
    assert ("", "/var/lib/actions-runner/one/.env") not in files
    assert ("", "/var/cache/coldvox-ci/trees/abc") in files, "published"
    assert not any("evil" in path or path.endswith(("abc/file", "linked")) for _login, path in files)
    assert not any(each.account == "nobody" for each in recorded())


def test_changes_ask_the_host_for_a_name_that_auditd_did_not_add() -> None:
    plain = "\n".join(line.partition("\x1d")[0] for line in LOG.split("\n"))
    assert {each.login for each in recorded(plain)} == {"", "user 1500"}
    assert {each.account for each in recorded(plain)} == {"user 0"}


def test_changes_show_no_control_characters() -> None:
    name = b"/etc/sudoers.d/\x1b[31mred".hex().upper()
    text = LOG.replace('name="/etc/sudoers.d/alice"', f"name={name}")
    assert text != LOG
    assert "/etc/sudoers.d/ [31mred" in {path for each in recorded(text) for path in each.files}


@pytest.mark.parametrize(
    "text", ["", "----\n", "type=PATH msg=audit(1.1:1): item", "type=SYSCALL msg=audit(1.5:2): key=1"]
)
def test_changes_are_empty_without_a_whole_record(text: str) -> None:
    assert recorded(text) == []


def test_read_returns_the_changes_since_a_time() -> None:
    run = answering(0, LOG)
    assert read(run, AT + 60, named) == []
    assert read(run, 0, named) == recorded()


def test_read_returns_nothing_if_nothing_matches() -> None:
    assert read(answering(1), 0, named) == []


@pytest.mark.parametrize(
    ("status", "stderr", "reason"),
    [
        (127, "ausearch: not found", "there is no auditd"),
        (1, "Error opening config file (Permission denied)", "Permission denied"),
        (124, "ausearch: no end after 120 s", "no end after 120 s"),
    ],
)
def test_read_says_why_there_are_no_records(status: int, stderr: str, reason: str) -> None:
    with pytest.raises(CiError, match=f"cannot be read .*{reason}.*hardening_audit: true"):
        read(answering(status, stderr=stderr), 0, named)


@pytest.mark.parametrize(
    ("status", "stdout", "sentence"),
    [
        (127, "", "This host has no auditd"),
        # As auditctl says in a container and without root.
        (1, "Error - audit support not in kernel", "does not answer (Error - audit support not in kernel)"),
        (0, "No rules\n", "No rule of this collection is loaded"),
        (0, "-a always,exit -F arch=b64 -F path=/etc/x -F key=coldvox_sudo\n-a never,task\n", "'task,never'"),
        (0, "-a always,exit -F arch=b64 -F path=/etc/x -F key=coldvox_sudo\n", ""),
    ],
)
def test_unrecorded_says_why_the_kernel_records_nothing(status: int, stdout: str, sentence: str) -> None:
    said = unrecorded(answering(status, stdout))
    assert sentence in said
    assert bool(sentence) is bool(said)
