"""A stolen runner key: the host reports the clone, and a new key ends it."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from testbed.github.client import AdminClient
from testbed.runner.package import TREE

from .conftest import CHECKOUT, Play
from .test_runner_pool import HOST, LABELS, NAME, UNIT, Shell, ask, listens, registered, until

KEY = ".credentials_rsaparams"
FILES = f".runner .credentials {KEY}"
ROOT = f"/var/lib/actions-runner/{NAME}"
#: A job can print what it can read.
STEAL = f"echo stolen=$(tar -C {ROOT} -cz {FILES} | base64 -w0)"
CONFLICT = "A session for this runner already exists"
GUIDE = CHECKOUT / "docs/troubleshooting.md"
HEAL = "runnerctl heal --run /run/theft"
#: Healing waits for minutes. Its memory of this test says that they have passed.
AGE = """python3 - <<'END'
import json
with open("/run/theft/heal.json") as stream:
    state = json.load(stream)
for known in state["instances"].values():
    known.update(since=known["since"] - 600, retry_at=0)
with open("/run/theft/heal.json", "w") as stream:
    json.dump(state, stream)
END
"""


class Clone:
    """A second listener on the controller, with the stolen files of a runner."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def start(self, stolen: bytes) -> None:
        """Start it with the archive ``stolen`` in a fresh directory."""
        self.stop()
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(TREE, self.place)
        with tarfile.open(fileobj=io.BytesIO(stolen)) as archive:
            archive.extractall(self.place, filter="data")
        self._log = (self.place / "said").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "bin/Runner.Listener", "run"],
            cwd=self.place,
            env={"PATH": os.defpath, "PYTHONUNBUFFERED": "1", "RUNNER_ALLOW_RUNASROOT": "1"},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def says(self, text: str) -> bool:
        """Return whether it has printed ``text``."""
        return text in (self.place / "said").read_text()

    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        if self._log is not None:
            self._log.close()


@pytest.fixture
def clone(tmp_path: Path, shell: Shell, play: Play) -> Iterator[Clone]:
    """Return a clone that is not started; the host works afterwards without it."""
    second = Clone(tmp_path / "clone")
    yield second
    second.stop()
    shell(f"rm -rf /run/theft; systemctl start {UNIT}")
    if not listens(shell, NAME):
        play("-l", HOST, "--tags", "github_runner")


def documented_command() -> list[str]:
    """Return the arguments of ansible-playbook in the section about a new key."""
    section = GUIDE.read_text(encoding="utf-8").partition("## Register a runner with a new key\n")[2]
    (command,) = re.findall(r"`ansible-playbook (\S+ -l HOST [^`]+)`", section.partition("\n## ")[0])
    return [word.replace("HOST", HOST) for word in shlex.split(command)]


def is_shut_out(shell: Shell) -> bool:
    """Return whether GitHub has refused a session since the unit started last."""
    start = f"$(systemctl show -p InvocationID --value {UNIT})"
    return CONFLICT in shell(f"journalctl -o cat _SYSTEMD_INVOCATION_ID={start}")


def report_of_theft(shell: Shell) -> str:
    """Let healing restart the runner until it reports; return what it reports."""
    for _ in range(3):
        until(lambda: is_shut_out(shell))
        shell(f"{HEAL} --quiet || true; {AGE}")
        state = json.loads(shell(f"{HEAL} --json || true"))
        for sentence in state["needs_person"]:
            if sentence.startswith(f"{NAME}: "):
                return str(sentence)
    raise AssertionError(state)


def test_theft_of_a_key_is_reported_and_ends_with_a_new_key(
    clone: Clone, play: Play, shell: Shell, github: AdminClient
) -> None:
    log = github.wait_for_job(github.queue_job(LABELS, STEAL))["log"]
    stolen = base64.b64decode(re.findall(r"stolen=(\S{100,})", log)[-1])
    # GitHub allows one session, so a thief waits for the end of a listener, or ends it by a job.
    shell(f"mkdir -p -m 755 /run/theft; systemctl stop {UNIT}")
    clone.start(stolen)
    until(lambda: clone.says("Listening for Jobs"))
    shell(f"systemctl start {UNIT}")
    assert github.wait_for_job(github.queue_job(LABELS, "true", name="prey"))["conclusion"] == "success"
    assert clone.says("Running job: prey"), "the clone takes the jobs of the runner"

    report = report_of_theft(shell)
    assert "its key may be stolen" in report
    assert "remove it on GitHub's Runners page" in report
    assert "'ansible-playbook site.yml --tags github_runner'" in report

    ask(github, f"runners/{registered(github)[NAME]['id']}", "DELETE")
    playbook, *arguments = documented_command()
    outcome = play(*arguments, playbook=playbook)
    assert outcome.status == 0, outcome.output[-4000:]

    until(clone.has_ended)
    until(lambda: listens(shell, NAME))
    with tarfile.open(fileobj=io.BytesIO(stolen)) as archive:
        old = archive.extractfile(KEY)
        assert old is not None
        assert old.read().decode() != shell(f"cat {ROOT}/{KEY}")
    shell(f"systemctl stop {UNIT}")  # so that a refusal does not come from its session
    clone.start(stolen)
    until(clone.has_ended, 20)
    assert clone.says("registration has been deleted")
    assert not clone.says("Listening for Jobs")
    shell(f"systemctl start {UNIT}")
    done = github.wait_for_job(github.queue_job(LABELS, f"test -d {ROOT}", name="at home"))
    assert done["conclusion"] == "success", done
    assert not json.loads(shell("runnerctl heal --dry-run --json || true"))["needs_person"]
