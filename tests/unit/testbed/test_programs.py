"""What the testbed asks of the machine besides Docker."""

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


missing_programs = programs.missing_programs  # the real one, also where a test replaces it


def only(*present: str) -> dict[str, str]:
    return missing_programs(lambda program: f"/usr/bin/{program}" if program in present else None)


def test_a_program_is_missing_when_it_is_not_on_the_path() -> None:
    assert only("ssh", "ssh-keygen", "tar", "npm") == {}
    assert only("ssh", "tar") == {"npm": "npm", "ssh-keygen": "openssh-client"}


def test_everything_that_is_missing_is_named_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "missing_programs", lambda: only("tar"))
    with pytest.raises(UnsupportedMachineError) as raised:
        programs.ensure_programs(USER, Paths(tmp_path), Progress())
    said = str(raised.value)
    assert "needs npm, ssh, ssh-keygen and" in said
    assert "'apt-get install npm openssh-client'" in said
    assert "'dnf install nodejs-npm openssh-clients'" in said
    assert "\n" not in said


def test_root_on_debian_gets_them_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
