"""Run playbooks against a converged world, as a user types them.

COLDVOX_WORLD chooses the world.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from testbed.github.client import AdminClient
from testbed.world import WORLDS

CHECKOUT = Path(__file__).resolve().parents[2]
WORLD = WORLDS[os.environ.get("COLDVOX_WORLD") or "test"]
INVENTORIES = ("inventories/production", "inventories/sandbox", f"molecule/inventory/{WORLD.name}")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The status and the output of a run of ansible-playbook."""

    status: int
    output: str

    @property
    def changed(self) -> dict[str, int]:
        """Return the number of changed tasks by host, from the recap."""
        return {
            host: int(count)
            for host, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", self.output, re.M)
        }

    @property
    def sentence(self) -> str:
        """Return the output as a single line, so that a wrapped message can be searched."""
        return " ".join(self.output.split())


Play = Callable[..., Outcome]


@pytest.fixture(scope="session")
def play() -> Play:
    """Return a function that runs a playbook with the inventories of the test world."""

    def run(
        *arguments: str,
        playbook: str = "site.yml",
        binaries: Path = CHECKOUT / ".venv/bin",
        cwd: Path = CHECKOUT,
        environment: Mapping[str, str] | None = None,
        interrupt_at: str = "",
        kill_when: Callable[[], object] | None = None,
        inventories: Sequence[str] = INVENTORIES,
    ) -> Outcome:
        sources = [part for path in inventories for part in ("-i", str(CHECKOUT / path))]
        child = subprocess.Popen(
            [str(binaries / "ansible-playbook"), *sources, playbook, *arguments],
            cwd=cwd,
            env={**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        output, ending = "", False
        for line in child.stdout or ():
            output += line
            ending = ending or bool(interrupt_at and interrupt_at in line)
            # Send it again until it works: Python drops an interrupt that hits a destructor.
            if ending and line.startswith("TASK ["):
                # Ctrl-C in a terminal signals the whole group. SIGKILL stands for a controller that dies.
                if kill_when:
                    kill_when()
                os.killpg(child.pid, signal.SIGKILL if kill_when else signal.SIGINT)
        # A task that was renamed would leave a test without its interrupt.
        assert ending or not interrupt_at, f"No task {interrupt_at!r} ran: {output[-2000:]}"
        return Outcome(child.wait(), output)

    return run


@pytest.fixture(scope="session")
def github() -> AdminClient:
    """Return the world's GitHub with its admin interface."""
    return AdminClient(WORLD.emulator_url)


@pytest.fixture(scope="session")
def shell() -> Callable[..., str]:
    """Return a function that runs a script as root on the laptop.

    The function returns the output.
    """

    def run(script: str, stdin: str = "") -> str:
        config = str(CHECKOUT / ".testbed/worlds" / WORLD.name / "ssh_config")
        command = f"sudo sh -c {shlex.quote(script)}"
        argv = ["ssh", "-F", config, "laptop-extra", command]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{script!r} gave {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    return run
