"""The packages are known to the host's own package manager, and the tools run."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from testinfra.host import Host

#: One package of each set that both hosts ask for, by package manager.
PACKAGES = {
    "dnf": ["alsa-lib-devel", "gtk3-devel", "qt6-qtbase-devel", "xorg-x11-server-Xvfb", "fd-find", "libicu"],
    "apt": ["libasound2-dev", "cmake", "ninja-build", "jq", "ripgrep", "libicu76"],
}


@pytest.fixture
def manager(host: Host) -> str:
    return "dnf" if host.exists("dnf") else "apt"


def test_packages_are_installed(host: Host, manager: str) -> None:
    query = "rpm -q" if manager == "dnf" else "dpkg-query -W -f '${Package} ${Status}\\n'"
    done = host.run(f"{query} {' '.join(PACKAGES[manager])}")
    assert done.rc == 0, done.stdout + done.stderr
    if manager == "apt":
        assert done.stdout.count("install ok installed") == len(PACKAGES["apt"])


def test_role_records_what_it_installed(host: Host, manager: str) -> None:
    record = json.loads(host.file("/var/lib/coldvox-ci/packages.json").content_string)["installed"]
    assert set(PACKAGES[manager]) - {"libicu76"} <= set(record)


def test_compiler_compiles(as_user: Callable[..., str]) -> None:
    assert as_user("echo 'int main(void){return 0;}' > a.c && cc a.c -o a && ./a && echo ran") == "ran\n"


def test_psutil_can_be_imported(as_user: Callable[..., str]) -> None:
    assert as_user("/usr/bin/python3 -c 'import psutil; print(psutil.cpu_count())'").strip().isdigit()
