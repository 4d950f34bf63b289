"""What programs say about the security of a host.

``data/cvtsudoers.json`` is the output of ``cvtsudoers -e -f json`` (sudo 1.9.13) for these rules:

    Defaults env_reset
    root ALL=(ALL:ALL) ALL
    %sudo ALL=(ALL:ALL) ALL
    User_Alias CI = ci-one, ci-two
    CI ALL=(root) NOPASSWD: /usr/bin/systemctl restart foo, /bin/true
    admin ALL=(ALL) NOPASSWD:ALL
    bob ALL=(ALL) NOPASSWD: SETENV: /bin/ls   (in an included directory)
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.security import programs
from ansible_collections.coldvox.ci.plugins.module_utils.agent.security.facts import SudoRule, Unit
from ansible_collections.coldvox.ci.plugins.module_utils.agent.security.read_facts import (
    can_write,
    public_repositories,
    reaches_bus,
    read_facts,
)
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import Result, run

from testbed.github.client import AdminClient
from testbed.github.server import emulator

DATA = Path(__file__).parents[1] / "data"
RULES = json.loads((DATA / "cvtsudoers.json").read_text(encoding="utf-8"))


def answering(**answers: Result) -> Any:
    """Return a ``run`` with an answer for each program; the others are missing."""
    return lambda argv, **_options: answers.get(argv[0].replace("-", "_"), Result(127, "", "not found"))


def test_rules_of_sudo_are_read_as_sudo_writes_them() -> None:
    assert list(programs.parsed_sudo(RULES)) == [
        SudoRule(("root",), ("ALL",), ("ALL",), True),
        SudoRule(("%sudo",), ("ALL",), ("ALL",), True),
        SudoRule(("ci-one", "ci-two"), ("root",), ("/usr/bin/systemctl restart foo", "/bin/true"), False),
        SudoRule(("admin",), ("ALL",), ("ALL",), False),
        SudoRule(("bob",), ("ALL",), ("/bin/ls",), False),
    ]


def test_exposures_are_those_of_the_collection_the_highest_first() -> None:
    listed = [
        {"unit": "ssh.service", "exposure": "9.6", "predicate": "UNSAFE", "happy": "x"},
        {"unit": "coldvox-runner@one.service", "exposure": "1.5", "predicate": "OK", "happy": "x"},
        {"unit": "coldvox-ci-heal.service", "exposure": "3.6", "predicate": "OK", "happy": "x"},
    ]
    units = programs.exposures(answering(systemd_analyze=Result(0, json.dumps(listed), "")))
    assert units == [Unit("coldvox-ci-heal.service", 3.6), Unit("coldvox-runner@one.service", 1.5)]


def test_program_without_an_answer_is_an_error_with_its_reason() -> None:
    with pytest.raises(CiError, match=r"systemd-analyze gives no answer \(Host is down\)"):
        programs.exposures(answering(systemd_analyze=Result(1, "", "Host is down\n")))


def test_host_without_ssh_server_has_no_settings() -> None:
    assert programs.sshd_settings(answering()) == {}
    text = "port 22\npasswordauthentication yes\nsubsystem sftp /usr/lib/sftp-server\n"
    assert programs.sshd_settings(answering(sshd=Result(0, text, "")))["passwordauthentication"] == "yes"


def test_setuid_files_are_found_by_their_bit(tmp_path: Path) -> None:
    for name, mode in (("plain", 0o755), ("setuid", 0o4755), ("setgid", 0o2755), ("with\nline", 0o4755)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory").chmod(0o2755)
    names = [os.path.basename(path) for path in programs.set_id_files(run, [str(tmp_path)])]
    assert names == ["setgid", "setuid", "with\nline"]


@pytest.mark.skipif(
    not os.path.exists("/var/lib/dpkg/status"), reason="asks the real dpkg, which is not here"
)
def test_files_of_packages_are_not_foreign_to_the_real_dpkg(tmp_path: Path) -> None:
    foreign = tmp_path / "a*[b]"
    foreign.touch()
    owned = os.path.realpath("/bin/su")
    assert programs.foreign(run, [owned, str(foreign)]) == [str(foreign)]


def test_host_without_a_package_manager_cannot_say_what_is_foreign() -> None:
    with pytest.raises(CiError, match="rpm gives no answer"):
        programs.foreign(answering(), ["/usr/bin/su"])
    assert programs.foreign(answering(), []) == []


def test_files_that_dpkg_does_not_know_are_asked_of_rpm() -> None:
    dpkg = Result(1, "login: /bin/su\n", "no path found matching pattern /tmp/x\n")
    files = ["/usr/bin/su", "/tmp/x"]
    assert programs.foreign(answering(dpkg_query=dpkg), files) == ["/tmp/x"]
    rpm = Result(0, "x\n", "")
    assert programs.foreign(answering(dpkg_query=dpkg, rpm=rpm), files) == []


def test_files_of_packages_are_not_foreign_to_rpm() -> None:
    # As rpm 4.20 answers for /usr/bin/su, /tmp/x and a file of two packages.
    text = "util-linux\nfile /tmp/x is not owned by any package\nglibc\nglibc\n"
    files = ["/usr/bin/su", "/tmp/x", "/usr/lib/y"]
    assert programs.foreign(answering(rpm=Result(1, text, "")), files) == ["/tmp/x"]


@pytest.mark.parametrize(
    ("settings", "timers", "expected"),
    [
        ("[commands]\napply_updates = yes\n", ["dnf5-automatic.timer"], ["dnf5-automatic.timer"]),
        ("[commands]\napply_updates = no\n", ["dnf5-automatic.timer"], []),
        ("", ["dnf-automatic.timer"], []),
        ("", ["dnf-automatic-install.timer"], ["dnf-automatic-install.timer"]),
        ("not a setting", [], []),
    ],
)
def test_timers_that_only_download_are_no_updates(
    tmp_path: Path, settings: str, timers: list[str], expected: list[str]
) -> None:
    path = tmp_path / "automatic.conf"
    path.write_text(settings)
    blocks = "\n\n".join(f"Id={timer}\nActiveState=active" for timer in timers)
    assert programs.update_timers(answering(systemctl=Result(0, blocks, "")), str(path)) == expected


@pytest.mark.parametrize(
    ("setting", "counts"), [("wanted='1'\n", True), ("wanted='0'\n", False), ("", False)]
)
def test_timer_of_apt_counts_if_it_installs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, counts: bool
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _program: "/usr/bin/unattended-upgrade")
    shown = Result(0, "Id=apt-daily-upgrade.timer\nActiveState=active", "")
    asked = answering(systemctl=shown, apt_config=Result(0, setting, ""))
    assert bool(programs.update_timers(asked, str(tmp_path / "none"))) is counts


#: As systemctl of systemd 257 shows them.
@pytest.mark.parametrize(
    ("unit", "reaches"),
    [
        ({}, True),
        ({"InaccessiblePaths": "-/run/dbus"}, False),
        ({"InaccessiblePaths": "/root -/run/dbus/system_bus_socket"}, False),
        ({"InaccessiblePaths": "/var/lib/coldvox-ci/history"}, True),
        ({"TemporaryFileSystem": "/run:ro /dev/shm:mode=1777"}, False),
        ({"TemporaryFileSystem": "/dev/shm"}, True),
        (
            {"TemporaryFileSystem": "/run:ro", "BindReadOnlyPaths": "-/run/coldvox-ci -/run/systemd/resolve"},
            False,
        ),
        ({"TemporaryFileSystem": "/run:ro", "BindReadOnlyPaths": "/run/dbus:/run/dbus:rbind"}, True),
        ({"TemporaryFileSystem": "/run:ro", "BindPaths": "/run/dbus"}, True),
    ],
)
def test_unit_reaches_the_bus_unless_it_is_hidden(unit: dict[str, str], reaches: bool) -> None:
    assert reaches_bus(unit) is reaches


def writes(path: Path, account: str) -> bool:
    """Return whether the kernel lets ``account`` make a file in ``path``."""
    program = [
        "setpriv",
        f"--reuid={account}",
        f"--regid={account}",
        "--init-groups",
        "mktemp",
        "-p",
        str(path),
    ]
    return subprocess.run(program, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o757, 0o775, 0o1777])
@pytest.mark.parametrize(("owner", "group"), [(0, 0), ("daemon", 0), (0, "daemon")])
def test_directory_is_writable_if_the_kernel_says_so(
    world_readable: Path, mode: int, owner: int | str, group: int | str
) -> None:
    shutil.chown(world_readable, owner, group)
    world_readable.chmod(mode)
    assert can_write(str(world_readable), "daemon") is writes(world_readable, "daemon")


@pytest.fixture
def world_readable(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = Path("/var/tmp") / tmp_path_factory.mktemp("place").name
    place.mkdir()
    yield place
    shutil.rmtree(place)


def test_missing_directory_is_writable_if_it_can_be_made() -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:
        assert can_write("/usr/no/such/place", me)
    assert not can_write("/usr/no/such/place", "daemon")
    assert can_write("/var/tmp/no-such-place", "daemon"), "in a directory where all can write"


def test_read_facts_names_what_it_could_not_read(tmp_path: Path) -> None:
    places = {name: str(tmp_path / name) for name in ("store", "run", "state", "runners", "config")}
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(0o777)
    facts = read_facts(places, answering(find=Result(0, "", "")), str(tmp_path))
    assert {"units", "updates"} <= set(facts.unknown)
    assert facts.units is None
    assert "can be written by others" in facts.store_fault
    assert facts.setuid == []


def test_read_facts_finds_files_that_others_can_write(tmp_path: Path) -> None:
    unit = tmp_path / "systemd/system/a.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    unit.chmod(0o666)
    facts = read_facts({}, answering(find=Result(0, "", "")), str(tmp_path))
    assert str(unit) in facts.loose
    assert stat.S_IMODE(unit.stat().st_mode) == 0o666
    unit.chmod(0o644)
    if os.geteuid() == 0:
        assert read_facts({}, answering(find=Result(0, "", "")), str(tmp_path)).loose == ()


def test_public_repositories_are_those_that_github_shows_to_everyone(description: Path) -> None:
    with emulator(description) as github:
        urls = [f"{github.url}/Coldaine/ColdVox", f"{github.url}/Coldaine/Missing", f"{github.url}/Coldaine"]
        assert public_repositories(urls) == []
        AdminClient(github.url).publish()
        assert public_repositories(urls) == urls[:1]
        AdminClient(github.url).set_faults({"path_regex": "/repos/", "status": 500, "times": 1})
        with pytest.raises(ValueError, match="GitHub answered 500"):
            public_repositories(urls)
