"""Mistakes in an inventory, through a real ansible-playbook."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests._support.ansible_process import run_ansible

SECRET = "ghp_thisMustNotBeShownAnywhere"


def check(
    tmp_path: Path, variables: dict[str, Any], *, warm: bool = True, **others: dict[str, Any]
) -> tuple[int, str]:
    """Return the status and the verbose output of a check; ``others`` are more hosts."""
    (tmp_path / "play.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks: [{coldvox.ci.input_check: {}, tags: always}]\n"
    )
    return play(tmp_path, "play.yml", {"laptop": variables, **others}, warm=warm)


def play(
    tmp_path: Path, playbook: str, hosts: dict[str, dict[str, Any]], *, warm: bool = True
) -> tuple[int, str]:
    """Run the tasks of ``playbook`` with the tag ``always`` for ``hosts``."""
    (tmp_path / "inventory.json").write_text(
        json.dumps(
            {
                "runners": {
                    "vars": {
                        "ansible_connection": "local",
                        "ansible_become": False,
                        "ansible_python_interpreter": sys.executable,
                    },
                    "hosts": {name: dict(own) for name, own in hosts.items()},
                }
            }
        )
    )
    done = run_ansible(
        *("ansible-playbook", "-vvv", "-i", "inventory.json", "--tags", "always", playbook),
        cwd=tmp_path,
        warm=warm,
    )
    return done.returncode, done.stdout + done.stderr


def test_input_check_accepts_a_valid_inventory(tmp_path: Path) -> None:
    status, said = check(
        tmp_path,
        {
            "github_runner_token": SECRET,
            "github_runner_instances": [{"name": "one", "resource_class": "{{ kind }}"}],
            "kind": "light",
            "coldvox_store_dir": "/srv/store",
            "coldvox_own_thing": 1,
        },
    )
    assert status == 0, said
    assert SECRET not in said


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"github_runner_tokn": SECRET}, "did you mean 'github_runner_token'"),
        ({"coldvox_stor_dir": "/srv"}, "'coldvox_stor_dir' is no input of the collection, did you mean"),
        ({"github_runner_app_key": {"pem": SECRET}, "hardening_profile": "tight"}, "hardening_profile"),
        ({"github_runner_instances": [{"name": "a", "lables": ["x"]}]}, "lables"),
        ({"github_runner_instances": "laptop", "github_runner_drain_timeout_seconds": "soon"}, "soon"),
        ({"libvosk_versions": [{"url": "x"}]}, "missing required arguments: version"),
    ],
)
def test_input_check_reports_a_mistake_in_one_sentence_without_secrets(
    tmp_path: Path, variables: dict[str, Any], words: str
) -> None:
    status, said = check(tmp_path, {**variables, "github_runner_token": SECRET})
    assert status == 2, said
    assert "The inventory of laptop has a mistake" in said
    assert words in said
    assert SECRET not in said
    assert "Traceback" not in said


def test_input_check_reports_a_wrong_shared_input_once(tmp_path: Path) -> None:
    status, said = check(tmp_path, {"coldvox_verify": "fully"})
    assert status == 2, said
    message = "coldvox_verify: value of coldvox_verify must be one of: quick, full, got: fully. Correct it"
    assert message in said
    assert "must be one of: quick, full, got: fully; coldvox_verify" not in said


def test_input_check_refuses_a_runner_name_on_two_hosts(tmp_path: Path) -> None:
    page = {"github_runner_url": "https://github.com/o/r"}
    ours = {**page, "github_runner_instances": [{"name": "fast"}, {"name": "slow"}]}
    theirs = {**page, "github_runner_instances": "{{ [{'name': 'Slow'}] }}"}
    status, said = check(tmp_path, ours, desk=theirs)
    assert status == 2, said
    assert "runner 'slow' is a runner of desk too" in said
    assert "runner 'Slow' is a runner of laptop too" in said
    elsewhere = {**theirs, "github_runner_url": "https://github.com/o/other"}
    unreadable = {**page, "github_runner_instances": "{{ nowhere }}"}
    assert check(tmp_path, ours, desk=elsewhere)[0] == 0
    assert "The inventory of laptop" not in check(tmp_path, ours, desk=unreadable)[1]


def test_preload_loads_plugins_before_ansible_forks_a_worker(tmp_path: Path) -> None:
    (tmp_path / "callback_plugins").mkdir()
    (tmp_path / "callback_plugins/loaded.py").write_text(CALLBACK)
    # From the shell: a warm start has imported much before.
    status, said = check(tmp_path, {}, warm=False)
    assert status == 0, said
    assert "loaded: True True" in said


#: A callback runs in the process that the workers are forked from.
CALLBACK = """
import sys
from ansible.plugins.callback import CallbackBase

class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_NAME = "loaded"

    def v2_runner_on_ok(self, result):
        ours = "ansible_collections.coldvox.ci.plugins.filter.runner_pool" in sys.modules
        self._display.display(f"loaded: {ours} {'ansible.plugins.connection.ssh' in sys.modules}")
"""


def test_input_check_checks_for_the_roles_of_site(tmp_path: Path) -> None:
    status, said = play(tmp_path, "coldvox.ci.site", {"laptop": {"hardening_profile": "tight"}})
    assert status == 2, said
    assert "The inventory of laptop has a mistake: hardening_profile" in said
    assert "Validating arguments" not in said


def test_role_without_input_check_checks_itself(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  roles: [{role: coldvox.ci.hardening}]\n"
    )
    status, said = play(tmp_path, "play.yml", {"laptop": {"hardening_profile": "tight"}})
    assert status == 2, said
    assert "Validation of arguments failed" in said
    assert "hardening_profile" in said


@pytest.mark.parametrize(("bits", "machine", "refused"), [("32", "aarch64", True), ("64", "aarch64", False)])
def test_input_check_refuses_a_userland_of_other_bits(
    tmp_path: Path, bits: str, machine: str, refused: bool
) -> None:
    """rust-lang/rustup issue 3307: uname says aarch64, and each program for it is "not found"."""
    (tmp_path / "facts.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tags: always\n  tasks:\n"
        f"    - set_fact: {{userspace_bits: '{bits}', machine: {machine}, cacheable: true}}\n"
        "    - coldvox.ci.input_check:\n"
    )
    status, said = play(tmp_path, "facts.yml", {"laptop": {}})
    assert bool(status) is refused, said
    assert ("its programs are for 32 bits and its kernel is for 64 (aarch64)" in said) is refused
