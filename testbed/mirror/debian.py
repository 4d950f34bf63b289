"""Packages of Debian 13, with their signatures checked.

apt works in a directory of its own: it needs no root, and the machine's own sources and packages stay as they
are.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from testbed.errors import TestbedError
from testbed.process import Outcome, capture

SUITE = "trixie"
ARCHIVE = os.environ.get("COLDVOX_TESTBED_DEBIAN_MIRROR") or "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

_CONFIG = """\
Dir::State "{home}/state";
Dir::State::status "{home}/state/status";
Dir::Cache "{home}/cache";
Dir::Etc::sourcelist "{home}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
"""


def obstacle() -> str | None:
    """Return why this machine cannot get the packages, or None when it can."""
    if platform.machine() != "x86_64":
        return f"the packages are for x86_64 and this machine is {platform.machine()}"
    missing = [name for name in ("apt-get", "dpkg-deb") if not shutil.which(name)]
    if missing:
        return f"{' and '.join(missing)} cannot be found"
    return None if KEYRING.is_file() else f"Debian's keys ({KEYRING}) are not installed"


def fetch_packages(names: Sequence[str], cache: Path, *, with_dependencies: bool = False) -> Path:
    """Return a directory with the packages, downloaded once per list of names.

    With ``with_dependencies`` it also has everything that apt would install with them on an empty machine.
    Raises TestbedError when apt cannot get or verify a package.
    """
    key = hashlib.sha256(repr((SUITE, sorted(names), with_dependencies)).encode()).hexdigest()[:16]
    home = cache / "downloads" / f"debian-{SUITE}-{key}"
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".debian-", dir=home.parent) as scratch:
            config = _private_configuration(Path(scratch))
            _apt(config, ["update"])
            chosen = _with_dependencies(config, names) if with_dependencies else names
            packages = Path(scratch, "packages")
            packages.mkdir()
            # ``download`` writes to the working directory.
            _apt(config, ["download", *chosen], directory=packages)
            packages.rename(home)
    return home


def unpack(packages: Path, target: Path) -> None:
    """Unpack the packages of a directory of ``fetch_packages`` into ``target``.

    Their maintainer scripts do not run.
    """
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(packages.glob("*.deb")):
        outcome = capture(["dpkg-deb", "--extract", str(file), str(target)], timeout_seconds=300)
        _require(outcome, f"unpack {file}")


def version(packages: Path, name: str) -> str:
    """Return the upstream version of a package in a directory of ``fetch_packages``."""
    [file] = packages.glob(f"{name}_*.deb")
    # An epoch is written as 1%3a in file names.
    return re.split(r"[+~-]", file.name.split("_")[1].rpartition("%3a")[2])[0]


def _private_configuration(home: Path) -> Path:
    for directory in ("state/lists/partial", "cache/archives/partial"):
        (home / directory).mkdir(parents=True)
    # An empty list of installed packages: apt then resolves all dependencies.
    (home / "state" / "status").touch()
    (home / "sources.list").write_text(f"deb [signed-by={KEYRING}] {ARCHIVE} {SUITE} main\n", "utf-8")
    config = home / "apt.conf"
    config.write_text(_CONFIG.format(home=home), "utf-8")
    return config


def _with_dependencies(config: Path, names: Sequence[str]) -> list[str]:
    outcome = _apt(config, ["install", "--simulate", "--no-install-recommends", *names])
    return re.findall(r"^Inst (\S+)", outcome.stdout, re.MULTILINE)


def _apt(config: Path, arguments: Sequence[str], directory: Path | None = None) -> Outcome:
    command = ["apt-get", "--quiet", "--assume-yes", *arguments]
    if directory:
        command = ["env", "--chdir", str(directory), *command]
    outcome = capture(command, timeout_seconds=900, environment={"APT_CONFIG": str(config), "LC_ALL": "C"})
    return _require(outcome, f"get packages of Debian {SUITE} from {ARCHIVE}")


def _require(outcome: Outcome, intention: str) -> Outcome:
    if outcome.status != 0:
        raise TestbedError(
            f"The testbed could not {intention}: {outcome.reason}; check the network and run this again."
        )
    return outcome
