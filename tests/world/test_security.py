"""The security report of a converged host, and audit rules in a container."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from .conftest import Play

Shell = Callable[..., str]


def test_security_report_names_what_is_wrong_on_a_host(play: Play, shell: Shell, tmp_path: Path) -> None:
    account = shell("systemctl show -P User coldvox-runner@laptop-extra.service").strip()
    linger = f"/var/lib/systemd/linger/{account}"
    shell("install -m 4755 /usr/bin/true /usr/local/bin/odd; mkdir -p /var/lib/systemd/linger")
    shell(f"touch {linger}")
    try:
        outcome = play(
            "-l", "laptop-extra", "-e", f"security_report_dir={tmp_path}", playbook="security_report.yml"
        )
    finally:
        shell(f"rm -f /usr/local/bin/odd {linger}")
    assert outcome.status == 0, outcome.output[-4000:]
    assert outcome.changed == {"laptop-extra": 1}, "only the files on the controller"
    report = json.loads((tmp_path / "laptop-extra.json").read_text())
    assert (tmp_path / "laptop-extra.md").read_text() == report["page"]
    assert report["summary"] in outcome.sentence
    assert [runner["name"] for runner in report["runners"]] == [
        *("laptop-extra", "laptop-extra-lint", "laptop-extra-test"),
    ]
    faults = [need["what"] for check in report["checks"] for need in check["faults"] or ()]
    assert any(sentence.startswith(f"The account {account} may run a user manager") for sentence in faults)
    assert any(sentence.startswith("/usr/local/bin/odd runs with the rights") for sentence in faults)
    wrong = {check["name"] for check in report["checks"] if check["faults"]}
    walls = {"Jobs cannot replace programs in PATH", "Accounts of jobs have no rules of sudo"}
    assert not wrong & walls, faults


def test_security_report_is_the_same_on_the_host(shell: Shell) -> None:
    page = shell("runnerctl security || true")
    assert page.startswith("# laptop-extra: security report, ")
    assert "## Exposure of units (profile build)" in page


def test_audit_rules_without_audit_in_the_kernel_are_a_warning(play: Play, shell: Shell) -> None:
    rules = "/etc/audit/rules.d/50-coldvox-ci.rules"
    wanted = ("-l", "laptop-extra", "--tags", "hardening", "-e", '{"hardening_audit": true}')
    try:
        first = play(*wanted)
        assert first.status == 0, first.output[-4000:]
        assert "The files of 'hardening' are in place, but 'augenrules --load' failed" in first.sentence
        assert play(*wanted).changed == {"laptop-extra": 0}, "the warning comes once"
        assert "key=coldvox_sudo" in shell(f"cat {rules}")
        assert "hardening_audit: true" in shell("runnerctl changes 2>&1 || true")
    finally:
        play("-l", "laptop-extra", "--tags", "hardening")
    assert shell(f"ls {rules} || echo gone").strip().endswith("gone")
