"""A host with a kernel of its own, and jobs in the runner's sandbox there."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.kernel import HOST, WORLD
from testbed.paths import testbed_paths

CHECKOUT = Path(__file__).resolve().parents[2]
INSTANCE, ACCOUNT = "probe", "ci-probe"
ROOT = f"/var/lib/actions-runner/{INSTANCE}"
UNIT = f"coldvox-runner@{INSTANCE}.service"
#: A unit with the name and the account of a runner. It runs a script in place of the listener.
SERVICE = f"""\
[Service]
Type=oneshot
User={ACCOUNT}
WorkingDirectory={ROOT}
Environment=HOME={ROOT}/_home
ReadWritePaths={ROOT}
StandardOutput=file:{ROOT}/output
StandardError=inherit
TimeoutStartSec=120
ExecStart=/bin/bash {ROOT}/job.sh
"""


class Guest:
    """The running host."""

    def __init__(self, ssh: list[str]) -> None:
        self._ssh = ssh

    def root(self, script: str, *, check: bool = True) -> str:
        """Run a script as root on the host and return its output."""
        argv = [*self._ssh, shlex.join(["sudo", "bash", "-s"])]
        done = subprocess.run(argv, input=script, capture_output=True, text=True, check=False, timeout=300)
        output = done.stdout + done.stderr
        assert not check or done.returncode == 0, f"{script!r} gave {done.returncode}: {output}"
        return output

    def job(self, script: str, **directives: str) -> str:
        """Run a script as a job in the runner's unit; return its output."""
        more = "".join(f"{name}={value}\n" for name, value in directives.items())
        unit = f"/run/systemd/system/{UNIT}"
        self.root(
            f"mkdir -p {unit}.d\n"
            f"cat >{unit} <<'END-OF-UNIT'\n{SERVICE}END-OF-UNIT\n"
            f"cat >{unit}.d/90-test.conf <<'END-OF-UNIT'\n[Service]\n{more}END-OF-UNIT\n"
            f"cat >{ROOT}/job.sh <<'END-OF-JOB'\n{script}\nEND-OF-JOB\n"
            f"rm -f {ROOT}/output\nsystemctl daemon-reload\nsystemctl reset-failed {UNIT} 2>/dev/null\n"
            f"systemctl start {UNIT}\ntrue"
        )
        return self.root(f"cat {ROOT}/output")


@pytest.fixture(scope="session")
def bare_guest() -> Iterator[Guest]:
    """Boot the host, with the account of a runner and without any file of ours."""
    command = [sys.executable, "-m", "testbed", "kernel"]
    subprocess.run([*command, "up"], cwd=CHECKOUT, check=True)
    config = testbed_paths().world(WORLD.name) / "ssh_config"
    guest = Guest(["ssh", "-F", str(config), HOST.name])
    guest.root(
        f"groupadd --force ci; id {ACCOUNT} || useradd --system --gid ci --home-dir {ROOT}/_home {ACCOUNT}\n"
        f"install -d -m 0755 /var/lib/actions-runner\n"
        f"install -d -o {ACCOUNT} -g ci -m 0700 {ROOT} {ROOT}/_home"
    )
    yield guest
    subprocess.run([*command, "down"], cwd=CHECKOUT, check=True)


@pytest.fixture(scope="session")
def guest(bare_guest: Guest) -> Guest:
    """Return the host after the role hardening, with its audit rules."""
    config = testbed_paths().world(WORLD.name) / "ssh_config"
    argv = [
        *(str(Path(sys.executable).with_name("ansible-playbook")), "-i", f"{HOST.name},"),
        *("--ssh-common-args", f"-F {config}", "-e", "hardening_audit=true"),
        str(CHECKOUT / "tests/kernel/hardened.yml"),
    ]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_TIMEOUT": "60"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-1000:]}"
    return bare_guest
