"""The Debian 13 image that every host image builds on.

It is pulled from a registry, or made with debootstrap where no registry can be reached.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from testbed import docker_cli
from testbed.docker_engine import Machine, install, missing_packages
from testbed.errors import TestbedError, UnsupportedMachineError
from testbed.paths import Paths
from testbed.process import capture, stream
from testbed.progress import Progress

REGISTRY_IMAGE = "debian:13"
REGISTRY_PROBE = "https://registry-1.docker.io/v2/"
PROBE_SECONDS = 3.0
PULL_SECONDS = 300.0
SUITE = "trixie"
WAYS = ("auto", "registry", "debootstrap")
#: The usual sources of a Debian system; debootstrap leaves out point releases and security updates.
SOURCES = """\
Types: deb
URIs: {mirror}
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: {security}
Suites: trixie-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


@dataclasses.dataclass(frozen=True)
class BaseChoice:
    """Where the base image comes from; ``way`` is one of ``WAYS``."""

    way: str = "auto"
    mirror: str = "http://deb.debian.org/debian"
    security_mirror: str = "http://deb.debian.org/debian-security"

    @property
    def tag(self) -> str:
        """The name of the image that debootstrap makes from this choice."""
        digest = hashlib.sha256(
            "\n".join((SUITE, self.mirror, self.security_mirror, SOURCES)).encode()
        ).hexdigest()
        return f"coldvox-testbed/base:{digest[:12]}"


def base_choice(environment: Mapping[str, str] = os.environ) -> BaseChoice:
    """Return the choice that the environment makes.

    The variables are ``COLDVOX_TESTBED_BASE`` and ``COLDVOX_TESTBED_DEBIAN_MIRROR``.
    """
    way = environment.get("COLDVOX_TESTBED_BASE", "") or "auto"
    if way not in WAYS:
        raise TestbedError(f"COLDVOX_TESTBED_BASE is {way!r}; set it to one of {', '.join(WAYS)}.")
    return BaseChoice(way, environment.get("COLDVOX_TESTBED_DEBIAN_MIRROR", "") or BaseChoice.mirror)


def ensure_base(choice: BaseChoice, machine: Machine, paths: Paths, progress: Progress) -> str:
    """Pull or make the base image if Docker lacks it; return its name."""
    if choice.way != "registry" and docker_cli.image_exists(choice.tag):
        return choice.tag
    if choice.way == "registry":
        ensure_pulled(REGISTRY_IMAGE, paths, progress)
        return REGISTRY_IMAGE
    if choice.way == "auto" and pull_if_reachable(paths, progress):
        return REGISTRY_IMAGE
    make_base(choice, machine, paths, progress)
    return choice.tag


def ensure_pulled(image: str, paths: Paths, progress: Progress) -> None:
    """Pull ``image`` if Docker lacks it; raises UnsupportedMachineError."""
    if not docker_cli.image_exists(image) and not pull(image, paths, progress):
        raise UnsupportedMachineError(
            f"COLDVOX_TESTBED_BASE is 'registry' and {image} could not be pulled; unset it, and the testbed "
            "makes its images from a Debian mirror."
        )


def pull_if_reachable(paths: Paths, progress: Progress) -> bool:
    """Pull the registry's base image if a registry answers.

    Returns whether Docker now has it.
    """
    if docker_cli.image_exists(REGISTRY_IMAGE):
        return True
    if not registry_answers():
        progress.line("images", "no registry is reachable; the base image comes from a Debian mirror")
        return False
    return pull(REGISTRY_IMAGE, paths, progress)


def pull(image: str, paths: Paths, progress: Progress) -> bool:
    """Pull ``image`` and return whether that succeeded."""
    with progress.step("images", f"pulling {image}") as report:
        argv = ["timeout", f"{PULL_SECONDS:.0f}", "docker", "pull", image]
        outcome = stream(argv, log=paths.logs / "pull.log", report=report)
    if outcome.status != 0:
        progress.line("images", f"{image} could not be pulled: {outcome.reason}")
    return outcome.status == 0


def registry_answers(probe: str = REGISTRY_PROBE) -> bool:
    """Return whether the registry's address answers HTTP requests."""
    try:
        with urllib.request.urlopen(probe, timeout=PROBE_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True  # an error status, such as a demand for a login, is an answer
    except OSError:
        return False


def make_base(choice: BaseChoice, machine: Machine, paths: Paths, progress: Progress) -> None:
    """Make the base image with debootstrap.

    The cache keeps its file system as a tar file.
    """
    archive = paths.cache / "base" / f"{choice.tag.rpartition(':')[2]}.tar"
    if not archive.exists():
        if not machine.is_root:
            raise UnsupportedMachineError(
                f"No registry offers {REGISTRY_IMAGE} here, and debootstrap needs root to make the image; "
                "make a registry reachable or run this as root."
            )
        ensure_debootstrap(machine, paths, progress)
        bootstrap(choice, archive, paths, progress)
    with progress.step("images", "importing the base image"):
        docker_cli.import_tree(archive, choice.tag)


def ensure_debootstrap(machine: Machine, paths: Paths, progress: Progress) -> None:
    """Install debootstrap if it is missing and may be installed."""
    missing = missing_packages(needs_debootstrap=True)
    if missing and not (machine.is_debian_like and machine.may_install):
        raise UnsupportedMachineError(
            f"No registry offers {REGISTRY_IMAGE} here, and debootstrap is not installed; install it, or set "
            "COLDVOX_TESTBED_INSTALL=1 on Debian or Ubuntu."
        )
    if missing:
        install(missing, paths, progress)


def bootstrap(choice: BaseChoice, archive: Path, paths: Paths, progress: Progress) -> None:
    """Write a minimal Debian to the tar file ``archive``."""
    tree = archive.with_suffix(".tree")
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    argv = ["debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, str(tree), choice.mirror]
    with progress.step("images", f"making a base image of {choice.mirror} ({SUITE})") as report:
        outcome = stream(argv, log=paths.logs / "debootstrap.log", report=report)
        if outcome.status != 0:
            raise TestbedError(
                f"The program debootstrap could not make a base image from {choice.mirror}: "
                f"{outcome.reason}. Read {paths.logs / 'debootstrap.log'} and check that the mirror "
                "can be reached."
            )
        finish_tree(tree, choice)
        fresh = archive.with_suffix(".new")
        packed = capture(["tar", "-C", str(tree), "-cf", str(fresh), "."], timeout_seconds=300)
        if packed.status != 0:
            raise TestbedError(
                f"The program tar could not pack {tree}: {packed.reason}; check the free space."
            )
        fresh.replace(archive)
    shutil.rmtree(tree)


def finish_tree(tree: Path, choice: BaseChoice) -> None:
    """Write the usual package sources and remove downloaded packages."""
    sources = SOURCES.format(mirror=choice.mirror, security=choice.security_mirror)
    (tree / "etc/apt/sources.list").unlink(missing_ok=True)
    (tree / "etc/apt/sources.list.d/debian.sources").write_text(sources, encoding="ascii")
    for package in (tree / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()
    # The hosts get their resolver from Docker.
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
