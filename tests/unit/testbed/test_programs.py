"""The programs that the testbed needs on the machine besides Docker."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed import programs
from testbed.docker_engine import Machine
from testbed.errors import UnsupportedMachineError
from testbed.paths import Paths
from testbed.progress import Progress

ROOT_ON_DEBIAN = Machine(
    "Linux", "x86_64", True, {"ID": "debian"}, may_install=True, boots_with_systemd=False
)
USER = Machine("Linux", "x86_64", False, {"ID": "fedora"}, may_install=True, boots_with_systemd=True)


missing_programs = programs.missing_programs  # the real function, also when a test replaces it


def only(*present: str) -> dict[str, str]:
    return missing_programs(lambda program: f"/usr/bin/{program}" if program in present else None)


def test_missing_programs_are_those_not_on_path() -> None:
    assert only("ssh", "ssh-keygen", "tar", "npm") == {}
    assert only("ssh", "tar") == {"npm": "npm", "ssh-keygen": "openssh-client"}


def test_ensure_programs_names_all_missing_programs_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "missing_programs", lambda: only("tar"))
    with pytest.raises(UnsupportedMachineError) as raised:
        programs.ensure_programs(USER, Paths(tmp_path), Progress())
    message = str(raised.value)
    assert "needs npm, ssh, ssh-keygen and" in message
    assert "'apt-get install npm openssh-client'" in message
    assert "'dnf install nodejs-npm openssh-clients'" in message
    assert "\n" not in message


def test_ensure_programs_installs_all_at_once_for_root_on_debian(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[list[str]] = []
    monkeypatch.setattr(programs, "install", lambda names, _paths, _progress: installed.append(names))
    monkeypatch.setattr(programs, "missing_programs", lambda: only("tar"))
    monkeypatch.setattr(programs, "KEYRING", tmp_path / "keys")
    programs.ensure_programs(ROOT_ON_DEBIAN, Paths(tmp_path), Progress())
    assert installed == [["npm", "openssh-client", "debian-archive-keyring"]]
    (tmp_path / "keys").touch()
    monkeypatch.setattr(programs, "missing_programs", dict)
    programs.ensure_programs(ROOT_ON_DEBIAN, Paths(tmp_path), Progress())
    assert len(installed) == 1, "nothing is asked of apt when nothing is missing"
