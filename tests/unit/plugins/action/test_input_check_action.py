"""Mistakes in an inventory, through a real ansible-playbook."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests._support.ansible_process import run_ansible

TAGS = ("--tags", "always")
SECRET = "ghp_thisMustNotBeShownAnywhere"


def check(
    tmp_path: Path,
    variables: dict[str, Any],
    *,
    warm: bool = True,
    limit: str = "",
    **others: dict[str, Any],
) -> tuple[int, str]:
    """Return the status and the verbose output of a check; ``others`` are more hosts."""
    (tmp_path / "play.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks: [{coldvox.ci.input_check: {}, tags: always}]\n"
    )
    return play(tmp_path, "play.yml", {"laptop": variables, **others}, warm=warm, limit=limit)


def play(
    tmp_path: Path,
    playbook: str,
    hosts: dict[str, dict[str, Any]],
    *options: str,
    warm: bool = True,
    limit: str = "",
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
        *("ansible-playbook", "-vvv", "-i", "inventory.json", *(options or TAGS), playbook),
        *(("--limit", limit) if limit else ()),
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
        ({"github_runner_instances": [{"name": "a", "resource_clas": "x"}]}, "did you mean 'resource_class'"),
        ({"system_package_sets": ["build"]}, "did you mean 'system_packages_sets'"),
        ({"coldvox_store_dir": "cache"}, "coldvox_store_dir: 'cache' is no absolute path"),
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
    (tmp_path / "limited").mkdir()
    status, said = check(tmp_path / "limited", ours, limit="laptop", desk=theirs)
    assert status == 2, "a sleeping host is not in the play, and keeps its names"
    assert "runner 'slow' is a runner of desk too" in said
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


ONE: dict[str, Any] = {"github_runner_instances": [{"name": "one"}]}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no credential": ({"github_runner_url": "https://github.com/o/r"}, "there is no credential"),
    "no pool": ({"github_runner_instances": []}, "github_runner_instances is empty"),
    "unknown class": (
        {"github_runner_instances": [{"name": "a", "resource_class": "huge"}]},
        "Resource class 'huge' is not defined",
    ),
    "cores": (
        {
            "github_runner_resource_classes": {"heavy": {"cores": "six", "memory_gib": 1}},
            "github_runner_instances": [{"name": name, "resource_class": "heavy"} for name in "abc"],
        },
        "has a value that is not a number",
    ),
    "two of a name": ({"github_runner_instances": [{"name": "a"}, {"name": "A"}]}, "is used twice"),
    "label": ({**ONE, "github_runner_labels": ["a,b"]}, "splits labels at commas"),
    "label with a tab": ({**ONE, "github_runner_labels": ["a\tb"]}, "has a tab or another control character"),
    "policy": ({"agent_policy": {"penalties": {"no_such_signal": []}}}, "no_such_signal"),
    "model": (
        {"vosk_models_models": [{"name": "vosk-model-smal-en-us-0.15"}]},
        "did you mean 'vosk-model-small-en-us-0.15'",
    ),
    "checksum": (
        {"vosk_models_models": [{"name": "x", "url": "https://x.example/x.zip", "sha256": "ab" * 32}]},
        "a placeholder",
    ),
    "library": (
        {"libvosk_default_version": "0.3.46"},
        "the default version 0.3.46 is not in libvosk_versions",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_site_refuses_what_its_roles_would_refuse_before_it_contacts_a_host(
    tmp_path: Path, mistake: str
) -> None:
    variables, words = REFUSED[mistake]
    status, said = play(tmp_path, "coldvox.ci.site", {"laptop": variables}, "--skip-tags", "none")
    assert status == 2, said
    assert "The inventory of laptop has a mistake" in said
    assert words in said
    assert "Check the host before any change" not in said
    assert "Traceback" not in said


def test_site_does_not_judge_roles_that_do_not_run(tmp_path: Path) -> None:
    variables = {"vosk_models_models": [], "libvosk_default_version": "0.3.46"}
    _status, said = play(tmp_path, "coldvox.ci.site", {"laptop": variables}, "--tags", "vosk_models")
    assert "The inventory of laptop" not in said


def test_site_fails_without_a_host(tmp_path: Path) -> None:
    status, said = play(tmp_path, "coldvox.ci.site", {})
    assert status == 2, said
    assert "No host is in the group runners" in said


def test_role_without_input_check_checks_itself(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  roles: [{role: coldvox.ci.hardening}]\n"
    )
    status, said = play(tmp_path, "play.yml", {"laptop": {"hardening_profile": "tight"}})
    assert status == 2, said
    assert "Validation of arguments failed" in said
    assert "hardening_profile" in said
