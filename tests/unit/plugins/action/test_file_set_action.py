"""The action plugin ``file_set`` in a real ansible-playbook."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests._support.ansible_process import run_ansible

PLAYBOOK = """\
- hosts: localhost
  gather_facts: false
  vars:
    who: world
  tasks:
    - block:
        - coldvox.ci.file_set:
            name: test
            state_dir: {root}/state
            files: {files}
          register: result
      rescue:
        - ansible.builtin.debug:
            msg: the test judges the failure by the result
    - ansible.builtin.debug:
        msg: "RESULT {{{{ result | to_json | b64encode }}}}"
    - ansible.builtin.template:
        src: "{{{{ item }}}}"
        dest: "{root}/oracle-{{{{ item }}}}"
      loop: {oracles}
      vars:
        ansible_managed: >-
          This file is kept by Ansible (coldvox.ci). Changes made here by hand are overwritten.
"""


def play(
    root: Path, files: list[dict[str, Any]], *, oracles: Sequence[str] = (), warm: bool = True
) -> dict[str, Any]:
    """Run a file_set task and return its result.

    ``root / 'output'`` is the output at ``-vvv``. Ansible's own template module renders the ``oracles``.
    """
    me = {"owner": str(os.geteuid()), "group": str(os.getegid())}
    listed = json.dumps([{**me, **entry} for entry in files])
    (root / "play.yml").write_text(PLAYBOOK.format(root=root, files=listed, oracles=list(oracles)))
    done = run_ansible(
        *("ansible-playbook", "-vvv", "-i", "localhost,", "-c", "local", "play.yml"),
        *("-e", f"ansible_python_interpreter={sys.executable}"),
        cwd=root,
        warm=warm,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (root / "output").write_text(done.stdout)
    encoded = done.stdout.partition("RESULT ")[2].partition('"')[0]
    result: dict[str, Any] = json.loads(base64.b64decode(encoded))
    return result


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/a.j2").write_text(
        "{{ ansible_managed | comment }}\n"
        "{% if true %}\nhello {{ who }}{{ extra | default('') }}\n{% endif %}\n"
        '{% include "b.j2" %}\n'
    )
    (tmp_path / "templates/b.j2").write_text("{{ 1 + 1 }}\n")
    return tmp_path


def test_file_set_renders_templates_like_the_template_module(templates: Path) -> None:
    files: list[dict[str, Any]] = [
        {"path": f"{templates}/out/a", "template": "a.j2"},
        {"path": f"{templates}/out/b", "template": "a.j2", "vars": {"extra": "!"}},
        {"path": f"{templates}/out/c", "template": "b.j2"},
        {"path": f"{templates}/out/d", "content": "plain {{ who }}"},
    ]
    made = play(templates, files, oracles=["a.j2", "b.j2"], warm=False)
    assert made["changed_paths"] == [entry["path"] for entry in files]
    text = (templates / "out/a").read_text()
    assert text.startswith("#\n# This file is kept by Ansible")
    assert text.endswith("#\nhello world\n2\n")
    assert "hello world!\n" in (templates / "out/b").read_text()
    assert text == (templates / "oracle-a.j2").read_text()
    assert (templates / "out/c").read_text() == (templates / "oracle-b.j2").read_text()
    assert (templates / "out/d").read_text() == "plain world"
    assert play(templates, files)["changed"] is False


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"template": "missing.j2"}, "'missing.j2' of"),
        ({"template": "undefined.j2"}, "'nobody' is undefined"),
        ({"template": "a.j2", "content": "x"}, "give one of template"),
        ({"template": "a.j2", "source": "a.txt"}, "give one of template"),
        ({"source": "a.txt", "link_to": "x"}, "give one of template"),
        ({"sha256": "ab" * 32}, "give its source instead"),
    ],
)
def test_file_set_error_names_the_bad_template_and_its_path(
    templates: Path, entry: dict[str, Any], said: str
) -> None:
    (templates / "templates/undefined.j2").write_text("{{ nobody }}")
    result = play(templates, [{"path": f"{templates}/out/a", **entry}])
    assert result["failed"]
    assert said in result["msg"]
    assert f"{templates}/out/a" in result["msg"]
    assert not (templates / "out").exists()


def test_source_goes_to_the_host_only_when_the_host_lacks_it(templates: Path) -> None:
    text = "{{ no_template }} é\n"
    (templates / "files").mkdir()
    (templates / "files/a.txt").write_text(text, encoding="utf-8")
    (templates / "files/empty.txt").write_text("")
    files: list[dict[str, Any]] = [
        {"path": f"{templates}/out/a", "source": "a.txt"},
        {"path": f"{templates}/out/b", "source": f"{templates}/files/a.txt", "mode": "0600"},
        {"path": f"{templates}/out/c", "source": "empty.txt"},
    ]
    first = play(templates, files)
    assert first["changed_paths"] == [one["path"] for one in files]
    assert "lacks" not in first
    assert (templates / "out/a").read_text(encoding="utf-8") == text
    assert (templates / "out/b").stat().st_mode & 0o777 == 0o600
    assert (templates / "out/c").read_text() == ""
    assert executions(templates) == 2
    assert play(templates, files)["changed"] is False
    assert executions(templates) == 1
    (templates / "out/a").write_text("by hand")
    assert play(templates, files)["changed_paths"] == [f"{templates}/out/a"]
    assert executions(templates) == 2


def executions(root: Path) -> int:
    """Return how often the last play ran the module."""
    return (root / "output").read_text().count("plugins/modules/file_set.py\n")
