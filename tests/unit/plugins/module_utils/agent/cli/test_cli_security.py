"""``runnerctl changes`` and ``runnerctl security`` as processes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests._support.installed_agent import Agent

LOG = Path(__file__).parents[1] / "data" / "audit.log"
LOADED = "-a always,exit -F arch=b64 -S all -F path=/etc/sudoers -F perm=wa -F key=coldvox_sudo"


def programs(agent: Agent, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Put programs into PATH that do as ``scripts`` say."""
    place = agent.root / "bin"
    place.mkdir()
    for name, script in scripts.items():
        (place / name).write_text(f"#!/bin/sh\n{script}\n")
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin")


def test_changes_are_a_table_and_json(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(agent, monkeypatch, ausearch=f"cat {LOG}", auditctl=f"echo '{LOADED}'")
    lines = agent.run("changes", "--since", "2020-01-01").stdout.splitlines()
    assert lines[0].split() == ["TIME", "WHO", "TOPIC", "FILES", "PROGRAM"]
    assert any("alice as root" in line and "rm /etc/sudoers.d/alice" in line for line in lines)
    shown = json.loads(agent.run("changes", "--json", "--since", "2020-01-01").stdout)
    assert len(shown["changes"]) == len(lines) - 1
    assert shown["changes"][0]["at"] == "2026-11-28T18:12:43Z"
    assert shown["unrecorded"] == ""


def test_changes_say_that_nothing_is_recorded_now(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(agent, monkeypatch, ausearch="exit 1", auditctl="echo No rules")
    done = agent.run("changes", status=1)
    assert done.stdout == "No change is recorded in this time.\n"
    assert "No rule of this collection is loaded" in done.stderr


def test_changes_without_auditd_are_not_possible(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(agent, monkeypatch)
    monkeypatch.setenv("PATH", str(agent.root / "bin"))
    assert "there is no auditd" in agent.run("changes", status=3).stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="a test as root can become another user")
def test_security_report_needs_root(agent: Agent, user: int | None) -> None:
    assert "as root" in agent.run("security", status=3, user=user).stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="the report reads files of root")
def test_security_report_is_a_page_and_json(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(agent, monkeypatch, find="printf '/tmp/planted\\0'", rpm="echo; exit 1")
    agent.store.mkdir(exist_ok=True)
    agent.store.chmod(0o777)
    document = json.loads(agent.run("security", "--json", status=2).stdout)
    faults = [need["what"] for check in document["checks"] for need in check["faults"] or ()]
    assert any("can be written by others" in sentence for sentence in faults)
    assert document["setuid"] == ["/tmp/planted"]
    page = agent.run("security", status=2).stdout
    assert page.splitlines()[0].partition(",")[0] == document["page"].splitlines()[0].partition(",")[0]
    assert document["summary"] in page
