"""The checks of the security report."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.security.facts import (
    Account,
    Facts,
    Port,
    Runner,
    SudoRule,
    Unit,
)
from ansible_collections.coldvox.ci.plugins.module_utils.agent.security.judge import Check, checks
from ansible_collections.coldvox.ci.plugins.module_utils.agent.security.page import page, summary

URL = "https://github.com/Coldaine/ColdVox"
RUNNER = Runner("one", "ci-one", False, ("/var/lib/actions-runner/one/_home/.cargo/bin",), (), URL)
JOBS = Account("ci-one", 990, ("ci", "ci-one"), "/usr/sbin/nologin", False, True, False)
PERSON = Account("alice", 1000, ("alice", "sudo"), "/bin/bash", True, False, True)
SUDO = SudoRule(("%sudo",), ("ALL",), ("ALL",), True)
SOUND = Facts(
    host="laptop",
    now=0.0,
    profile="build",
    units=(Unit("coldvox-ci-heal.service", 3.6), Unit("coldvox-runner@one.service", 1.5)),
    runners=(RUNNER,),
    accounts=(JOBS, PERSON),
    ports=(Port("tcp", "::", 22, "sshd"),),
    sudo=(SUDO,),
    setuid=("/usr/bin/su",),
    foreign_setuid=(),
    lingering=("alice",),
    polkit_rule=True,
    sshd={"passwordauthentication": "no", "kbdinteractiveauthentication": "no", "permitrootlogin": "no"},
    loose=(),
    store_fault="",
    public=(),
    audit_wanted=False,
    unrecorded="This host has no auditd; install it.",
    updates=("dnf5-automatic.timer",),
    unknown={},
)


def runner(**change: Any) -> dict[str, Any]:
    return {"runners": (RUNNER._replace(**change),)}


def account(**change: Any) -> dict[str, Any]:
    return {"accounts": (JOBS._replace(**change), PERSON)}


def rule(user: str, **change: Any) -> dict[str, Any]:
    return {"sudo": (SUDO, SudoRule((user,), ("root",), ("/bin/true",), False)._replace(**change))}


def faults(facts: Facts) -> list[tuple[str, str]]:
    return [(need.level, need.what) for check in checks(facts) for need in check.faults or ()]


def test_sound_host_passes_every_check() -> None:
    assert faults(SOUND) == []
    assert all(check.faults == () for check in checks(SOUND))


@pytest.mark.parametrize(
    ("change", "level", "what"),
    [
        ({"profile": "off"}, "critical", "no sandbox, because the profile is off"),
        ({"profile": ""}, "critical", "no sandbox"),
        ({"units": (Unit("coldvox-runner@one.service", 1.6),)}, "attention", "exposure 1.6"),
        ({"profile": "strict"}, "attention", "is 1.1"),
        (runner(reaches_bus=True), "critical", "reach the system bus"),
        ({"lingering": ("ci-one",)}, "critical", "ci-one may run a user manager"),
        ({"polkit_rule": False}, "critical", "No rule of polkit"),
        (runner(early_path=("/x/bin",)), "critical", "/x/bin comes before"),
        (rule("ci-one"), "critical", "/bin/true without a password"),
        (rule("ALL", asks_password=True), "critical", "/bin/true with the password"),
        (rule("%ci"), "critical", "use sudo"),
        (rule("#990"), "critical", "use sudo"),
        (account(groups=("ci", "docker")), "critical", "in the group docker"),
        (account(can_login=True), "critical", "can log in"),
        (account(has_password=True), "critical", "can log in"),
        ({"sshd": {"passwordauthentication": "yes"}}, "attention", "passwordauthentication yes"),
        ({"sshd": {"kbdinteractiveauthentication": "yes"}}, "attention", "accepts passwords"),
        ({"sshd": {"permitrootlogin": "yes"}}, "attention", "root log in"),
        ({"foreign_setuid": ("/tmp/x",)}, "attention", "/tmp/x runs with the rights"),
        ({"loose": ("/etc/systemd/system/a.service",)}, "critical", "a.service decides"),
        (
            {"store_fault": "The store /s can be written; remove that."},
            "critical",
            "The store /s can be written.",
        ),
        ({"public": (URL,)}, "attention", "which is public"),
        ({"audit_wanted": True}, "attention", "not recorded: This host has no auditd"),
        ({"updates": ()}, "attention", "No timer installs security updates"),
    ],
)
def test_fault_is_reported_once_with_a_remedy(change: dict[str, Any], level: str, what: str) -> None:
    facts = SOUND._replace(**change)
    ((found_level, sentence),) = faults(facts)
    assert found_level == level
    assert what in sentence
    (todo,) = [need.todo for check in checks(facts) for need in check.faults or ()]
    assert todo
    assert page(facts, checks(facts)).count("**failed**") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"units": (Unit("coldvox-ci-metrics.service", 9.6),)},
        rule("bob"),
        runner(url=""),
        {"public": ("https://github.com/other/place",)},
        {"sshd": {}},
        {"runners": (), "profile": ""},
    ],
)
def test_what_does_not_concern_jobs_is_no_fault(change: dict[str, Any]) -> None:
    assert faults(SOUND._replace(**change)) == []


@pytest.mark.parametrize(
    "source", ["units", "runners", "sudo", "foreign_setuid", "sshd", "public", "updates"]
)
def test_check_without_its_fact_is_not_possible_instead_of_passed(source: str) -> None:
    missing: dict[str, Any] = {source: None, "unknown": {source: "no answer"}}
    facts = SOUND._replace(**missing)
    unknown = [check for check in checks(facts) if check.faults is None]
    assert unknown
    assert "* " + source.replace("_", "\\_") + ": no answer" in page(facts, checks(facts))


def test_page_has_every_fact_and_no_markup_of_strangers() -> None:
    facts = SOUND._replace(setuid=("/usr/bin/su", "/tmp/<b>|x"), foreign_setuid=("/tmp/<b>|x",))
    shown = page(facts, checks(facts))
    for part in ("tcp \\[::\\]:22", "ci-one", "alice, sudo", "%sudo", "1.5", ".cargo/bin", "2 files"):
        assert part in shown, part
    assert "<b>" not in shown.replace("\\<b\\>", "")


def test_summary_counts_faults() -> None:
    judged = (Check("a", ()), Check("b", None), *checks(SOUND._replace(updates=())))
    assert summary(judged) == "18 checks: 16 passed, 1 failed with 1 fault, 1 not possible."
