"""The Docker daemon: find a running one, or install and start one.

The testbed installs and starts Docker only where the user has agreed to that.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from testbed import process
from testbed.errors import TestbedError, UnsupportedMachineError
from testbed.paths import Paths
from testbed.progress import Progress

START_SECONDS = 60.0
ARCHITECTURES = ("x86_64", "amd64")
#: overlay2 shares the image layers; Docker's fallback, vfs, copies every layer.
DAEMON = ("dockerd", "--storage-driver=overlay2")
INSTALL_HINT = (
    "install and start Docker Engine and run this again (as root on Debian or Ubuntu, "
    "COLDVOX_TESTBED_INSTALL=1 lets the testbed do that)"
)


@dataclasses.dataclass(frozen=True)
class Machine:
    """The properties of this machine that decide whether and how the testbed can run."""

    system: str
    architecture: str
    is_root: bool
    os_release: Mapping[str, str]
    may_install: bool
    boots_with_systemd: bool

    @property
    def is_debian_like(self) -> bool:
        """Whether apt-get and Debian's package names can be expected."""
        family = f"{self.os_release.get('ID', '')} {self.os_release.get('ID_LIKE', '')}".split()
        return "debian" in family or "ubuntu" in family

    @property
    def can_install(self) -> bool:
        """Whether the testbed may, and can, install Debian packages here."""
        return self.is_root and self.may_install and self.is_debian_like and bool(shutil.which("apt-get"))


def this_machine(environment: Mapping[str, str] = os.environ) -> Machine:
    """Describe the machine that this runs on."""
    return Machine(
        system=platform.system(),
        architecture=platform.machine(),
        is_root=os.geteuid() == 0,
        os_release=read_os_release(Path("/etc/os-release")),
        may_install=environment.get("COLDVOX_TESTBED_INSTALL") == "1" or environment.get("CI") == "true",
        boots_with_systemd=Path("/run/systemd/system").is_dir(),
    )


def read_os_release(path: Path) -> dict[str, str]:
    """Return the fields of an os-release file, or {} when there is no such file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}


def check_machine(machine: Machine) -> None:
    """Raise UnsupportedMachineError unless this machine can run the hosts."""
    if machine.system != "Linux" or machine.architecture not in ARCHITECTURES:
        raise UnsupportedMachineError(
            f"The testbed runs its hosts as x86-64 Linux containers and this machine is {machine.system} on "
            f"{machine.architecture}; use an x86-64 Linux machine."
        )


def ensure_engine(machine: Machine, paths: Paths, progress: Progress) -> None:
    """Return once the Docker daemon answers.

    Installs and starts it where the user has agreed to that; raises UnsupportedMachineError elsewhere.
    """
    refusal = engine_refusal()
    if refusal is None:
        return
    check_may_start(machine, refusal)
    missing = missing_packages(needs_debootstrap=False)
    if missing:
        install(missing, paths, progress)
    if engine_refusal() is not None:
        start(machine, paths, progress)


def engine_refusal() -> str | None:
    """Return why the Docker daemon cannot be used, or None when it can."""
    # Not "docker info": some clients exit with 0 although no daemon answered.
    outcome = process.capture(["docker", "version", "--format", "{{.Server.Version}}"], timeout_seconds=20)
    return None if outcome.status == 0 and outcome.stdout.strip() else outcome.reason


def check_may_start(machine: Machine, refusal: str) -> None:
    """Raise unless the testbed may install and start the Docker daemon."""
    if not machine.is_root:
        raise UnsupportedMachineError(
            f"The testbed needs Docker Engine and cannot use one ({refusal}): {INSTALL_HINT}."
        )
    if not machine.is_debian_like or not shutil.which("apt-get"):
        raise UnsupportedMachineError(
            f"The testbed needs Docker Engine, cannot use one ({refusal}), and can install it only on Debian "
            f"and Ubuntu: {INSTALL_HINT}."
        )
    if not machine.may_install:
        raise UnsupportedMachineError(
            f"The testbed needs Docker Engine and cannot use one ({refusal}); set "
            "COLDVOX_TESTBED_INSTALL=1 to let it install and start Docker with apt-get, or do so yourself, "
            "and run this again."
        )


def missing_packages(*, needs_debootstrap: bool) -> list[str]:
    """Return the Debian packages whose programs are missing on this machine."""
    wanted = {"dockerd": "docker.io", "docker": "docker.io", "iptables": "iptables"}
    if needs_debootstrap:
        wanted = {"debootstrap": "debootstrap"}
    return sorted({package for program, package in wanted.items() if not shutil.which(program)})


def install(packages: list[str], paths: Paths, progress: Progress) -> None:
    """Install Debian packages on this machine."""
    with progress.step("machine", f"installing {', '.join(packages)}") as report:
        # A failed refresh of the index is not fatal: the packages may still be available.
        _apt_get(["update", "-q"], paths, report)
        names = with_companions(packages, _apt_knows)
        outcome = _apt_get(["install", "-q", "-y", "--no-install-recommends", *names], paths, report)
    if outcome.status != 0:
        raise UnsupportedMachineError(
            f"The program apt-get could not install {', '.join(names)} ({outcome.reason}); "
            "install the packages yourself and run this again."
        )


def with_companions(packages: list[str], known: Callable[[str], bool]) -> list[str]:
    """Return the packages and those that they only recommend but that are needed here."""
    # Newer Debian has Docker's client in a package of its own. debootstrap needs Debian's keys, which Ubuntu
    # lacks.
    companions = {"docker.io": "docker-cli", "debootstrap": "debian-archive-keyring"}
    more = [companions[name] for name in packages if name in companions and known(companions[name])]
    return [*packages, *more]


def _apt_get(arguments: list[str], paths: Paths, report: Callable[[str], None]) -> process.Outcome:
    return process.stream(
        ["apt-get", "-o", "DPkg::Lock::Timeout=120", *arguments],
        log=paths.logs / f"apt-{arguments[0]}.log",
        report=report,
        environment={"DEBIAN_FRONTEND": "noninteractive"},
    )


def _apt_knows(package: str) -> bool:
    return bool(process.capture(["apt-cache", "--names-only", "search", f"^{package}$"]).stdout.strip())


def start(machine: Machine, paths: Paths, progress: Progress) -> None:
    """Start the daemon with systemd, or as a process where systemd is not running.

    ``down --engine`` stops the process.
    """
    with progress.step("docker", "starting the daemon"):
        if machine.boots_with_systemd:
            process.capture(["systemctl", "start", "docker"], timeout_seconds=START_SECONDS)
            refusal = _await_engine(None)
        else:
            refusal = _start_daemon(DAEMON, paths)
            if refusal is not None and "driver not supported" in refusal:
                progress.line(
                    "docker", "overlay2 is not supported here; starting Docker with a slower storage driver"
                )
                refusal = _start_daemon(DAEMON[:1], paths)
    if refusal is not None:
        raise UnsupportedMachineError(
            f"The Docker daemon was started and does not answer: {refusal}. "
            f"Look at its log in {paths.engine}."
        )


def _start_daemon(argv: Sequence[str], paths: Paths) -> str | None:
    """Start the daemon as a separate process.

    Returns None when it answers, else the reason why it does not.
    """
    log = paths.engine / "dockerd.log"
    daemon = process.spawn(argv, log=log, cwd=Path("/"))
    record = paths.engine / "daemon.json"
    record.write_text(json.dumps(dataclasses.asdict(daemon)) + "\n", encoding="utf-8")
    refusal = _await_engine(daemon)
    return (
        refusal
        if refusal is None or process.alive(daemon)
        else process.last_line(log, "failed to start daemon")
    )


def _await_engine(daemon: process.Identity | None) -> str | None:
    """Wait until the daemon answers and return None.

    Returns the reason when the process ended or START_SECONDS have passed.
    """
    deadline = time.monotonic() + START_SECONDS
    while (refusal := engine_refusal()) is not None:
        if time.monotonic() > deadline or (daemon is not None and not process.alive(daemon)):
            break
        time.sleep(0.3)
    return refusal


def stop_engine(paths: Paths) -> bool:
    """Stop the daemon that ``start`` recorded; return whether it was running."""
    record = paths.engine / "daemon.json"
    try:
        daemon = process.Identity(**json.loads(record.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return False
    except (ValueError, TypeError) as error:
        raise TestbedError(
            f"The file {record} does not hold the identity of the Docker daemon ({error}); remove the file."
        ) from error
    stopped = process.stop(daemon, grace_seconds=30)
    record.unlink()
    return stopped
