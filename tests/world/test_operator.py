"""What an operator runs into, on the converged hosts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from testbed.github.client import AdminClient

from .conftest import Play

CARGO = "/usr/local/bin/cargo"


def test_name_of_a_sleeping_host_is_refused_before_any_change(
    play: Play, github: AdminClient, tmp_path: Path
) -> None:
    """Compare with the whole inventory: the laptop is not in the play."""
    (tmp_path / "more.yml").write_text(
        "runners: {hosts: {debian-builder: {github_runner_instances: [{name: laptop-extra}]}}}\n"
    )
    since = len(github.audit())
    outcome = play("-i", str(tmp_path / "more.yml"), "-l", "debian-builder")
    assert outcome.status != 0
    assert "runner 'laptop-extra' is a runner of laptop-extra too" in outcome.sentence
    assert outcome.changed == {"debian-builder": 0}
    assert [entry for entry in github.audit()[since:] if entry["user_agent"] == "coldvox-ci"] == []


def test_run_without_the_agent_is_refused_where_the_hooks_are_missing(
    play: Play, shell: Callable[..., str]
) -> None:
    shell("mv /opt/coldvox-ci/hooks /opt/coldvox-ci/hooks.away")
    try:
        outcome = play("-l", "laptop-extra", "--skip-tags", "agent")
    finally:
        shell("mv /opt/coldvox-ci/hooks.away /opt/coldvox-ci/hooks")
    assert outcome.status != 0
    assert "would fail every job, because the host does not have" in outcome.sentence
    assert outcome.changed == {"laptop-extra": 0}


def test_file_of_the_owner_is_kept(play: Play, shell: Callable[..., str]) -> None:
    shell(f"rm {CARGO} && echo 'the owner wrote this' > {CARGO}")
    outcome = play("-l", "laptop-extra", "--tags", "rust_toolchains_files")
    assert outcome.status == 0, outcome.output[-4000:]
    assert f"'{CARGO}' was there before and is replaced" in outcome.sentence
    assert "the owner wrote this" in shell("cat /var/lib/coldvox-ci/originals/usr%local%bin%cargo")
    assert "cargo" in shell(f"{CARGO} --version")


def test_inventory_without_hosts_fails(play: Play, tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("runner: {hosts: {laptop-extra: }}\n")
    outcome = play(inventories=[str(tmp_path / "hosts.yml")])
    assert outcome.status != 0
    assert "No host is in the group runners" in outcome.sentence


def test_status_shows_the_last_converge_and_the_versions(shell: Callable[..., str]) -> None:
    said = shell("runnerctl status; true")
    assert "LAST      converge " in said
    assert "2.336.0" in said
