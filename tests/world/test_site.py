"""Further runs on a converged world: cheap, and on every supported core."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .conftest import CHECKOUT, WORLD, Play

#: Remote module executions of a no-change site.yml on one host, gathering included. Each costs a quarter of a
#: second or more, so this number is the cost of a nightly run; raise it only for a good reason.
BUDGET = 13


def test_site_takes_few_remote_executions_without_a_change(play: Play) -> None:
    outcome = play("-l", "laptop-extra", "-vvv")
    assert outcome.status == 0, outcome.output[-4000:]
    assert outcome.changed == {"laptop-extra": 0}
    executions = outcome.output.count("Using module file ")
    assert 0 < executions <= BUDGET


def test_site_check_mode_predicts_no_change(play: Play) -> None:
    outcome = play("--check", "--diff")
    assert outcome.status == 0, outcome.output[-4000:]
    assert set(outcome.changed.values()) == {0}


def test_maintenance_repairs_a_flipped_bit(play: Play) -> None:
    """Flip a bit and keep size and time, so that only a full read finds the damage."""
    model = "/usr/local/share/vosk-models/vosk-model-small-en-us-0.15"
    damage = f"""
        file=$(readlink -f {model})/graph/words.txt
        time=$(stat -c %y $file)
        printf X | dd of=$file bs=1 conv=notrunc status=none
        touch --date="$time" $file
    """
    subprocess.run(
        [
            "ssh",
            "-F",
            CHECKOUT / ".testbed/worlds" / WORLD.name / "ssh_config",
            "laptop-extra",
            f"sudo sh -euc '{damage}'",
        ],
        check=True,
    )
    assert play("-l", "laptop-extra").changed == {"laptop-extra": 0}
    nightly = play("-l", "laptop-extra", playbook="maintenance.yml")
    assert nightly.changed == {"laptop-extra": 1}, nightly.output[-4000:]
    assert play("-l", "laptop-extra", playbook="maintenance.yml").changed == {"laptop-extra": 0}


def test_site_converges_a_bare_host_with_the_oldest_core_after_an_interruption(play: Play) -> None:
    subprocess.run(
        [sys.executable, "-m", "testbed", "up", "--world", WORLD.name, "--host", "debian-builder", "--fresh"],
        cwd=CHECKOUT,
        check=True,
    )
    oldest = CHECKOUT / ".venv-oldest/bin"
    interrupted = play("-l", "debian-builder", binaries=oldest, interrupt_at="libvosk : versions | Keep")
    assert "PLAY RECAP" not in interrupted.output
    first = play("-l", "debian-builder", binaries=oldest)
    assert first.status == 0, first.output[-4000:]
    assert first.changed["debian-builder"] > 0
    second = play("-l", "debian-builder", binaries=oldest)
    assert second.changed == {"debian-builder": 0}, second.output[-4000:]


def test_installed_collection_runs_by_its_full_name(play: Play, tmp_path: Path) -> None:
    galaxy = str(CHECKOUT / ".venv/bin/ansible-galaxy")
    subprocess.run([galaxy, "collection", "build", "--output-path", tmp_path, CHECKOUT], check=True)
    (tarball,) = tmp_path.glob("coldvox-ci-*.tar.gz")
    installed = tmp_path / "collections"
    subprocess.run(
        [galaxy, "collection", "install", "--offline", "--force", "-p", installed, tarball], check=True
    )
    outcome = play(
        "-vv",
        playbook="coldvox.ci.site",
        cwd=tmp_path,
        environment={"ANSIBLE_COLLECTIONS_PATH": str(installed)},
    )
    assert outcome.status == 0, outcome.output[-4000:]
    assert set(outcome.changed.values()) == {0}
    assert f"{installed}/ansible_collections/coldvox/ci/roles" in outcome.output
