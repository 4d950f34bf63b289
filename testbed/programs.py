"""The programs that the testbed needs on this machine, besides Docker.

They are installed where the user has agreed to that; elsewhere one error names all that are missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping

from testbed.docker_engine import Machine, install
from testbed.errors import UnsupportedMachineError
from testbed.mirror.debian import KEYRING
from testbed.paths import Paths
from testbed.progress import Progress

#: Program to Debian package. Docker and debootstrap are not listed: not every machine needs them.
PROGRAMS = {"npm": "npm", "ssh": "openssh-client", "ssh-keygen": "openssh-client", "tar": "tar"}
#: What the tests of rules in the kernel need in addition.
KERNEL_TEST_PROGRAMS = {"ip": "iproute2", "nft": "nftables", "nsenter": "util-linux", "unshare": "util-linux"}
FEDORA_NAMES = {"iproute2": "iproute", "npm": "nodejs-npm", "openssh-client": "openssh-clients"}


def missing_programs(
    which: Callable[[str], str | None] = shutil.which, programs: Mapping[str, str] = PROGRAMS
) -> dict[str, str]:
    """Return the missing programs, each with its Debian package."""
    return {program: package for program, package in programs.items() if not which(program)}


def ensure_programs(
    machine: Machine, paths: Paths, progress: Progress, missing: Mapping[str, str] | None = None
) -> None:
    """Return once all ``missing`` programs, by default the testbed's, are installed.

    Raises UnsupportedMachineError, with all their names, where the testbed may not install them.
    """
    if missing is None:
        missing = missing_programs()
    packages = sorted(set(missing.values()))
    if machine.can_install:
        # apt checks Debian's packages with Debian's keys, which Ubuntu does not have.
        wanted = packages if KEYRING.is_file() else [*packages, "debian-archive-keyring"]
        if wanted:
            install(wanted, paths, progress)
    elif missing:
        raise UnsupportedMachineError(refusal(missing))


def refusal(missing: Mapping[str, str]) -> str:
    """Return the error that names the missing programs and how to install them."""
    packages = sorted(set(missing.values()))
    fedora = " ".join(sorted(FEDORA_NAMES.get(package, package) for package in packages))
    return (
        f"The testbed needs {', '.join(sorted(missing))} and this machine lacks that; install it on Debian "
        f"and Ubuntu with 'apt-get install {' '.join(packages)}', on Fedora with 'dnf install {fedora}', "
        "and run this again."
    )
