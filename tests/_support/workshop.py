"""A host with systemd, the role hardening, and an account that runs jobs.

A job is a unit with the name, the account and the drop-ins of a runner. It runs a script in place of the
listener.
"""

from __future__ import annotations

import dataclasses
import io
import re
import subprocess
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from testbed import docker_cli
from testbed.base_image import base_choice
from testbed.docker_engine import this_machine
from testbed.hosts import SYSTEMD_ARGUMENTS
from testbed.images import Recipe, ensure_base_and_recipes, ensure_image
from testbed.paths import testbed_paths
from testbed.progress import Progress
from testbed.rpm_catalogue import load_catalogue
from tests._support import hardening_role

CHECKOUT = Path(__file__).resolve().parents[2]
AGENT = CHECKOUT / "roles/agent/templates/etc/systemd/system/coldvox-runner@.service.d/40-agent.conf.j2"
AGENT_PATHS = {
    "__agent_lock_dir": "/run/coldvox-ci/locks",
    "__agent_jobs_dir": "/run/coldvox-ci/jobs",
    "__agent_store_dir": "/var/cache/coldvox-ci",
    "__agent_command": "/usr/local/bin/runnerctl",
}
DROP_IN = "/etc/systemd/system/coldvox-runner@.service.d/50-hardening.conf"
UNIT = "coldvox-runner@probe.service"
ACCOUNT = "ci-probe"
ROOT = "/var/lib/actions-runner/probe"
BOOT_SECONDS = 120.0
#: Podman needs a /proc that Docker does not mask, and this device for its network.
TUN = Path("/dev/net/tun")
PODMAN = ("--security-opt=systempaths=unconfined", *([f"--device={TUN}"] if TUN.exists() else []))
SERVICE = f"""\
[Service]
Type=oneshot
User={ACCOUNT}
WorkingDirectory={ROOT}
Environment=HOME={ROOT}/_home
ReadWritePaths={ROOT}
StandardOutput=file:/var/tmp/job.output
StandardError=inherit
TimeoutStartSec=300
ExecStart=/bin/sh {ROOT}/job.sh
"""


@dataclasses.dataclass(frozen=True)
class Result:
    """The exit status of a script and what it printed."""

    status: int
    output: str


class Workshop:
    """The running host."""

    def __init__(self, container: str) -> None:
        self._container = container

    def root(self, script: str, stdin: bytes = b"") -> Result:
        """Run a script as root on the host, outside of every sandbox."""
        argv = ["docker", "exec", "--interactive", self._container, "sh", "-c", script]
        done = subprocess.run(argv, input=stdin, capture_output=True, check=False)
        return Result(done.returncode, (done.stdout + done.stderr).decode(errors="replace"))

    def must(self, script: str, stdin: bytes = b"") -> str:
        """Run a script as root, and fail the test unless it succeeds."""
        done = self.root(script, stdin)
        assert done.status == 0, f"{script!r} gave {done.status}: {done.output}"
        return done.output

    def wait(self, script: str, seconds: float = 30.0) -> None:
        """Repeat a script as root until it succeeds; fail the test after ``seconds``."""
        deadline = time.monotonic() + seconds
        while (done := self.root(script)).status != 0:
            assert time.monotonic() < deadline, f"{script!r} still gives {done.status}: {done.output}"
            time.sleep(0.1)

    def write(self, files: dict[str, str], mode: int = 0o644) -> None:
        """Write files of root by their absolute paths."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path, text in files.items():
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.size, entry.mode = len(text.encode()), mode
                tar.addfile(entry, io.BytesIO(text.encode()))
        self.must("tar -x -C / -f -", archive.getvalue())

    def job(self, script: str, profile: str = "build", without: Sequence[str] = ()) -> Result:
        """Run a script as the job of a runner unit under a profile.

        ``without`` are the beginnings of lines to leave out of the drop-in: an attack that fails must succeed
        there, or its test proves nothing.
        """
        sandbox = hardening_role.drop_in(profile)
        for beginning in without:
            assert re.search(f"^{re.escape(beginning)}", sandbox, re.M), f"no line begins with {beginning}"
            sandbox = re.sub(f"^{re.escape(beginning)}.*\n", "", sandbox, flags=re.M)
        folder = f"/run/systemd/system/{UNIT}"
        agent = re.sub(r"\{\{ (\w+) \}\}", lambda match: AGENT_PATHS[match[1]], AGENT.read_text())
        writable = "".join(line + "\n" for line in agent.splitlines() if line.startswith("ReadWritePaths="))
        self.write(
            {
                folder: SERVICE,
                f"{folder}.d/40-agent.conf": f"[Service]\n{writable}",
                DROP_IN: sandbox,
                f"{ROOT}/job.sh": script,
            }
        )
        started = self.root(f"systemctl daemon-reload && systemctl start {UNIT}")
        shown = self.must(f"systemctl show --value --property=Result,ExecMainStatus {UNIT}")
        self.must(f"systemctl reset-failed {UNIT} 2>/dev/null || true")
        output = self.must("cat /var/tmp/job.output; : > /var/tmp/job.output")
        if started.status != 0 and "exit-code" not in shown:
            output += self.must(f"journalctl --no-pager --lines=20 --unit={UNIT}")
        return Result(started.status, output)

    def prepare(self) -> None:
        """Wait for the boot, apply the role's files and make the account."""
        self.wait("systemctl is-system-running | grep -E 'running|degraded'", BOOT_SECONDS)
        # Keys of accounts are in their homes, as on a host that is not the testbed's.
        self.must("rm -f /etc/ssh/sshd_config.d/testbed.conf; ssh-keygen -q -A")
        # As udev makes them.
        self.must(f"test ! -e {TUN} || chmod 666 {TUN}")
        # logind would keep an account for 10 s after its last session.
        self.write({"/etc/systemd/logind.conf.d/test.conf": "[Login]\nUserStopDelaySec=0\n"})
        self.must("systemctl restart systemd-logind")
        files = hardening_role.files("build")
        programs = {path: text for path, text in files.items() if text.startswith("#!")}
        self.write(programs, mode=0o755)
        self.write({path: text for path, text in files.items() if path not in programs})
        account = f'u {ACCOUNT} - "A runner" {ROOT}/_home /usr/sbin/nologin\nm {ACCOUNT} ci\n'
        self.write({"/etc/sysusers.d/coldvox-probe.conf": account})
        self.must("systemd-sysusers && systemd-tmpfiles --create coldvox-ci.conf && systemctl daemon-reload")
        self.must("systemctl reset-failed ssh; systemctl restart ssh")
        self.must(
            f"install -d -o root -g {ACCOUNT} -m 1770 {ROOT}; install -d -o {ACCOUNT} -m 700 {ROOT}/_home"
        )

    def forget_job(self) -> None:
        """Remove what a job left in its home and on the host."""
        self.must(
            f"find {ROOT}/_home -mindepth 1 -delete; find /var/tmp /tmp /dev/shm -user {ACCOUNT} -delete"
        )
        self.forget_user(ACCOUNT)

    def forget_user(self, name: str) -> None:
        """End sessions and manager of an account, and wait for logind."""
        self.root(f"loginctl disable-linger {name}; loginctl terminate-user {name}")
        self.wait(f"! loginctl user-status {name} > /dev/null 2>&1")


@contextmanager
def workshop(name: str) -> Iterator[Workshop]:
    """Build the image if needed, start the host, and remove it at the end."""
    paths, progress = testbed_paths(), Progress()
    recipes = ensure_base_and_recipes(base_choice(), this_machine(), load_catalogue(), paths, progress)
    recipe = Recipe("workshop", recipes["debian-host"].tag, directory=CHECKOUT / "tests/sandbox")
    for each in (recipes["host-base"], recipes["debian-host"], recipe):
        ensure_image(each, paths, progress)
    docker_cli.remove_containers([name] if docker_cli.docker("inspect", name).status == 0 else [])
    # A volume, because podman's layers cannot be on Docker's.
    arguments = [*SYSTEMD_ARGUMENTS, *PODMAN, "--volume", "/var/lib/actions-runner"]
    docker_cli.must("start the workshop", "run", "--detach", "--name", name, *arguments, recipe.tag)
    try:
        host = Workshop(name)
        host.prepare()
        yield host
    finally:
        docker_cli.remove_containers([name])
