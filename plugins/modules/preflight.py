#!/usr/bin/python
# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Check a host before the first change, and gather the facts of the roles
version_added: 0.2.0
author:
  - coldvox.ci contributors (@Coldaine)
description:
  - Fails if the host cannot be a runner host, before a role changes anything. It needs systemd, and a host
    without a store needs 1 GiB of free space in each of the directories.
  - Gathers facts in the same execution, so that a play needs no C(gather_facts).
  - Never changes anything.
extends_documentation_fragment:
  - coldvox.ci.attributes
  - coldvox.ci.attributes.info
options:
  gather_subset:
    description: The subsets of facts to gather, as in M(ansible.builtin.setup); nothing else is gathered.
    type: list
    elements: str
    default: []
  store:
    description: The directory of the artifact store.
    type: path
    default: /var/cache/coldvox-ci
  state_dir:
    description: The directory of the state of the collection.
    type: path
    default: /var/lib/coldvox-ci
  base_dir:
    description: The directory of the runner instances.
    type: path
    default: /var/lib/actions-runner
  files:
    description: Paths of files to look for.
    type: list
    elements: path
    default: []
seealso:
  - module: coldvox.ci.input_check
  - module: coldvox.ci.github_runner_check
"""

EXAMPLES = r"""
- name: Check the host before any change
  coldvox.ci.preflight:
    gather_subset: [architecture, pkg_mgr]
    files: [/opt/coldvox-ci/hooks/job-started.sh]
"""

RETURN = r"""
ansible_facts:
  description: The gathered facts, and the results of this module as C(coldvox_host).
  returned: success
  type: dict
  contains:
    coldvox_host:
      description: What this collection knows about the host.
      type: dict
      contains:
        registrations:
          description: What the instances of this host know about their registrations at GitHub.
          type: list
          elements: dict
        missing_files:
          description: The paths of O(files) where there is no file.
          type: list
          elements: str
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.facts import ansible_collector, default_collectors
from ansible.module_utils.facts.namespace import PrefixFactNamespace
from ansible_collections.coldvox.ci.plugins.module_utils.host.directories import free_bytes
from ansible_collections.coldvox.ci.plugins.module_utils.host.paths import Paths
from ansible_collections.coldvox.ci.plugins.module_utils.host.sizes import size
from ansible_collections.coldvox.ci.plugins.module_utils.runner.orphans import own_registrations
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import Layout

# A toolchain takes 500 MB and the runner 650 MB, both without what jobs write.
LEAST_BYTES = 1024**3
DIRECTORIES = ("store", "state_dir", "base_dir")
ARGUMENTS: dict[str, dict[str, Any]] = {
    "gather_subset": {"type": "list", "elements": "str", "default": []},
    "store": {"type": "path", "default": Paths().store},
    "state_dir": {"type": "path", "default": Paths().state},
    "base_dir": {"type": "path", "default": Paths().runners},
    "files": {"type": "list", "elements": "path", "default": []},
}


def facts(module: AnsibleModule) -> dict[str, Any]:
    """Return the facts of the wanted subsets, as ansible.builtin.setup collects them."""
    collector = ansible_collector.get_ansible_collector(
        all_collector_classes=default_collectors.collectors,
        namespace=PrefixFactNamespace(namespace_name="ansible", prefix="ansible_"),
        gather_subset=["!all", "!min", *module.params["gather_subset"]],
        minimal_gather_subset=frozenset(),
    )
    gathered: dict[str, Any] = collector.collect(module=module)
    return gathered


def refusals(params: dict[str, Any]) -> list[str]:
    """Return why this host cannot be a runner host."""
    reasons = []
    if not os.path.isdir("/run/systemd/system"):
        reasons.append("it does not run systemd, which runs the runners; use a host that does")
    if not Layout(params["store"]).exists():
        for path in (params[name] for name in DIRECTORIES):
            free = free_bytes(path)
            if free < LEAST_BYTES:
                reasons.append(
                    f"{size(free)} are free for {path} and a new host needs {size(LEAST_BYTES)}; free space "
                    "there, or set another directory"
                )
    return reasons


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        reasons = refusals(module.params)
    except OSError as error:
        reasons = [f"'{error.filename}' cannot be read ({error.strerror}); correct that path"]
    if reasons:
        module.fail_json(msg=f"The host is not fit for runners: {'; '.join(reasons)}. Nothing was changed.")
    own = {
        "registrations": [owned._asdict() for owned in own_registrations(module.params["base_dir"])],
        "missing_files": [path for path in module.params["files"] if not os.path.isfile(path)],
    }
    module.exit_json(changed=False, ansible_facts={**facts(module), "coldvox_host": own})


if __name__ == "__main__":
    main()
