#!/usr/bin/python
# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: owned_package
short_description: Record the packages that Ansible installed, and remove only those
version_added: 0.3.0
description:
  - Records that a transaction of M(ansible.builtin.dnf) or M(ansible.builtin.apt) installed packages that
    the host did not have before.
  - Removes packages that it has recorded. A package stays if the host had it before, or if another installed
    package needs it. The rehearsals of C(rpm) and C(dpkg) decide that, and the same programs remove the
    packages.
  - Dependencies that came with a package stay. C(dnf autoremove) and C(apt-get autoremove) remove those that
    nothing needs any longer.
author: coldvox.ci contributors (@Coldaine)
extends_documentation_fragment:
  - coldvox.ci.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  name:
    description: Names of packages.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(present) adds the names to the record. It installs nothing.
      - V(absent) removes those of the names that are in the record.
    type: str
    choices: [present, absent]
    default: present
  manager:
    description: The package manager of the host; V(dnf) stands for DNF 4 and DNF 5.
    type: str
    choices: [apt, dnf]
    required: true
  state_dir:
    description: Directory for the state of the collection on the host.
    type: path
    default: /var/lib/coldvox-ci
"""

EXAMPLES = r"""
- name: Remove | Remove what Ansible installed and nothing needs
  coldvox.ci.owned_package:
    name: [cmake, ninja-build]
    state: absent
    manager: dnf
"""

RETURN = r"""
names:
  description: The names that were, or in check mode would be, recorded or removed.
  returned: success
  type: list
  elements: str
  sample: [cmake]
needed:
  description: For each recorded package that stays, the installed packages that need it.
  returned: success
  type: dict
  sample: {gcc: [akmods-0.6.0-8.fc42.noarch]}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host import owned_packages
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import run

ARGUMENT_SPEC = {
    "name": {"type": "list", "elements": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "manager": {"type": "str", "choices": ["apt", "dnf"], "required": True},
    "state_dir": {"type": "path", "default": "/var/lib/coldvox-ci"},
}


def record(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Add the names to the record; raises CiError or OSError."""
    known = owned_packages.read_record(params["state_dir"])
    fresh = sorted(set(params["name"]) - set(known))
    if fresh and not check_mode:
        owned_packages.write_record(params["state_dir"], [*known, *fresh])
    return {"changed": bool(fresh), "names": fresh, "needed": {}}


def remove(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Remove the recorded packages that nothing needs; raises CiError or OSError."""
    known, manager = owned_packages.read_record(params["state_dir"]), params["manager"]
    present = owned_packages.installed(manager, run) if known else set()
    owned = sorted(set(params["name"]) & set(known) & present)
    plan = owned_packages.plan_removal(owned, manager, run)
    if plan.remove and not check_mode:
        owned_packages.remove(plan.remove, manager, run)
        owned_packages.write_record(params["state_dir"], (set(known) & present).difference(plan.remove))
    return {"changed": bool(plan.remove), "names": plan.remove, "needed": plan.keep}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        perform = record if module.params["state"] == "present" else remove
        result = perform(module.params, module.check_mode)
    except CiError as error:
        module.fail_json(msg=str(error), **error.details)
    except OSError as error:
        module.fail_json(
            msg=f"The record of installed packages in '{module.params['state_dir']}' cannot be written "
            f"({error.strerror}); correct that directory, then run again."
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
