"""The programs that the testbed calls on this machine: installed where that is agreed, else named at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from testbed.docker_engine import Machine, install
from testbed.errors import UnsupportedMachineError
from testbed.mirror.debian import KEYRING
from testbed.paths import Paths
from testbed.progress import Progress

#: Program -> its package in Debian. Docker and debootstrap are not among them: not every machine needs those.
PROGRAMS = {"npm": "npm", "ssh": "openssh-client", "ssh-keygen": "openssh-client", "tar": "tar"}
FEDORA_NAMES = {"npm": "nodejs-npm", "openssh-client": "openssh-clients"}


def missing_programs(which: Callable[[str], str | None] = shutil.which) -> dict[str, str]:
    """Return the programs that are not here, each with its package in Debian."""
    return {program: package for program, package in PROGRAMS.items() if not which(program)}


def ensure_programs(machine: Machine, paths: Paths, progress: Progress) -> None:
    """Return once all programs are here; raise with all their names where they may not be installed."""
    missing = missing_programs()
    packages = sorted(set(missing.values()))
    if machine.can_install:
        # Debian's packages are checked by Debian's keys, which Ubuntu does not bring along.
        wanted = packages if KEYRING.is_file() else [*packages, "debian-archive-keyring"]
        if wanted:
            install(wanted, paths, progress)
    elif missing:
        raise UnsupportedMachineError(refusal(missing))


def refusal(missing: dict[str, str]) -> str:
    """Return the sentence that names what is missing and how to come by it."""
    packages = sorted(set(missing.values()))
    fedora = " ".join(sorted(FEDORA_NAMES.get(package, package) for package in packages))
    return (
        f"The testbed needs {', '.join(sorted(missing))} and this machine lacks it; install it, on Debian "
        f"and Ubuntu with 'apt-get install {' '.join(packages)}', on Fedora with 'dnf install {fedora}', "
        "and run this again."
    )
