#!/usr/bin/python
# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: file_set
short_description: Keep a set of rendered files, links and removed paths in one remote execution
version_added: 0.1.0
description:
  - Renders every template on the controller, then brings all files, links and directories of the set to their
    state in one execution on the host, and runs O(on_change) after a change.
  - Each file is written to a temporary file in the same directory, synced and renamed. A link at the path
    is replaced, never followed. A link on the way to it is followed only if root or the running user owns it
    and no other user can write to its directory.
  - A file or link of others at one of the paths is copied to C(originals) below O(state_dir) before it is
    replaced, with a warning, and comes back when the path is in O(absent).
  - Missing parent directories are created with mode V(0755).
  - A marker below O(state_dir) is written before the first change and removed after the last command, so
    the next run also runs the commands that an interruption prevented.
author: coldvox.ci contributors (@Coldaine)
extends_documentation_fragment:
  - coldvox.ci.attributes
attributes:
  check_mode:
    support: full
    details:
      - The commands of O(files[].validate) do not run.
  diff_mode:
    support: full
    details:
      - It shows the contents, but only the number of files with a C(source).
  idempotent:
    support: full
options:
  name:
    description: Name of the set on the host; lower case letters, digits and C(_).
    type: str
    required: true
  files:
    description:
      - The paths to keep, in order. Each needs exactly one of C(template), C(source), C(content), C(link_to)
        and C(directory).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path on the host.
        type: str
        required: true
      template:
        description: Name of a template, found and rendered as M(ansible.builtin.template) does.
        type: str
      vars:
        description: Variables for this O(files[].template) only.
        type: dict
      source:
        description:
          - Name of a text file on the controller, searched as M(ansible.builtin.copy) does.
          - Its text goes to the host only when the host lacks it, in a second execution.
        type: str
      content:
        description: The text of the file.
        type: str
      sha256:
        description: What the task sends in place of a C(source) at first; not for playbooks.
        type: str
      brief:
        description: What the task sets for a C(source), whose lines the diff only counts; not for playbooks.
        type: bool
        default: false
      link_to:
        description: Makes O(files[].path) a symbolic link with this target.
        type: str
      directory:
        description: Makes O(files[].path) a directory.
        type: bool
      mode:
        description: Four octal digits in quotes. The default is V(0644), for a directory V(0755).
        type: str
      owner:
        description: User name or id.
        type: str
        default: root
      group:
        description: Group name or id.
        type: str
        default: root
      validate:
        description:
          - A command that checks the new content before any file of the set is written. C(%s) is the path of
            a private copy with the same base name.
        type: str
  absent:
    description:
      - Paths to remove. A directory is removed with its content. Where others had a file or link before this
        module, that comes back and then stays.
    type: list
    elements: str
    default: []
  on_change:
    description:
      - Commands to run in order after a change, each a list of arguments.
      - The failure of a command that begins with C(-) is a warning, as in a unit of systemd.
    type: list
    elements: list
    default: []
  state_dir:
    description: Directory for the state of the collection on the host.
    type: path
    default: /var/lib/coldvox-ci
"""

EXAMPLES = r"""
- name: Unit | Keep the runner's unit and its slice
  coldvox.ci.file_set:
    name: github_runner
    files:
      - path: /etc/systemd/system/coldvox-runner@.service
        template: coldvox-runner@.service.j2
      - path: /usr/local/lib/libvosk.so
        link_to: /opt/libvosk/0.3.45/libvosk.so
      - path: /etc/sudoers.d/coldvox
        content: "Defaults:ci !requiretty\n"
        mode: "0440"
        validate: visudo -cf %s
    absent:
      - /etc/systemd/system/old-runner.service
    on_change:
      - [systemctl, daemon-reload]
"""

RETURN = r"""
changed_paths:
  description: The paths that were, or in check mode would be, changed or removed.
  returned: success
  type: list
  elements: str
  sample: [/etc/systemd/system/coldvox-runner@.service]
commands_run:
  description: The commands that ran, or in check mode would run.
  returned: success
  type: list
  elements: list
  sample: [[systemctl, daemon-reload]]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host import file_state, files
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import run

_SOURCES = [("template", "source", "content", "sha256", "link_to", "directory")]

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "str", "required": True},
            "template": {"type": "str"},
            "vars": {"type": "dict"},
            "source": {"type": "str"},
            "content": {"type": "str"},
            "sha256": {"type": "str"},
            "brief": {"type": "bool", "default": False},
            "link_to": {"type": "str"},
            "directory": {"type": "bool"},
            "mode": {"type": "str"},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "validate": {"type": "str"},
        },
        "mutually_exclusive": _SOURCES,
        "required_one_of": _SOURCES,
        "required_by": {"vars": ["template"]},
    },
    "absent": {"type": "list", "elements": "str", "default": []},
    "on_change": {"type": "list", "elements": "list", "default": []},
    "state_dir": {"type": "path", "default": "/var/lib/coldvox-ci"},
}


def wanted_set(params: dict[str, Any]) -> files.FileSet:
    """Turn the module's parameters into a checked FileSet."""
    wanted = files.FileSet(
        name=params["name"],
        entries=[file_state.entry_from(raw) for raw in params["files"]],
        absent=params["absent"],
        commands=[[str(argument) for argument in argv] for argv in params["on_change"]],
        state_dir=params["state_dir"],
    )
    files.check_set(wanted)
    return wanted


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    if any(raw["template"] or raw["source"] for raw in module.params["files"]):
        module.fail_json(
            msg="The action of file_set reads templates and sources on the controller; call it as the task "
            "coldvox.ci.file_set."
        )
    try:
        wanted = wanted_set(module.params)
        changes = files.plan(wanted)
        lacks = [change.path for change in changes if change.entry is not None and change.entry.sha256]
        if lacks:
            # The task comes again with the contents; until then nothing is changed.
            module.exit_json(changed=False, lacks=lacks)
        due = files.commands_due(wanted, changes)
        commands = [list(argv) for argv in wanted.commands] if due else []
        if not module.check_mode:
            files.validate(changes, run)
            commands = files.converge(wanted, changes, run, module.warn)
    except CiError as error:
        module.fail_json(msg=str(error), **error.details)
    except OSError as error:
        place = error.filename or "a file"
        module.fail_json(
            msg=f"The file set '{module.params['name']}' failed at '{place}' ({error.strerror}); correct "
            "that path, then run again."
        )
    result = {
        "changed": bool(changes or commands),
        "changed_paths": [change.path for change in changes],
        "commands_run": commands,
    }
    if module._diff:
        brief = {raw["path"] for raw in module.params["files"] if raw["brief"]}
        result["diff"] = file_state.diffs(
            [(change.path, change.present, change.entry) for change in changes], brief
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
