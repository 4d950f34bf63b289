#!/usr/bin/python
# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_lock_info
short_description: List all leases and kernel locks with their holders
version_added: 0.1.0
author:
  - coldvox.ci contributors (@coldaine)
description:
  - Lists the leases of M(coldvox.ci.cache_lock) on the managed host, including expired ones.
  - Lists the kernel locks that are held at this moment in the store and in O(lock_dirs), with the processes
    that hold them and the processes that wait.
  - The processes come from C(/proc). To see all of them, run the module as root, not in a container.
extends_documentation_fragment:
  - coldvox.ci.attributes
  - coldvox.ci.attributes.info
options:
  store:
    description:
      - The artifact store that holds the leases and locks.
    type: path
    default: /var/cache/coldvox-ci
  lock_dirs:
    description:
      - Further directories with lock files. The default is the directory of the locks that jobs take by name.
        A directory that does not exist counts as empty.
    type: list
    elements: path
    default: [/run/coldvox-ci/locks]
seealso:
  - module: coldvox.ci.cache_lock
  - module: coldvox.ci.artifact_store_info
"""

EXAMPLES = r"""
- name: List leases and locks
  coldvox.ci.cache_lock_info:
  register: locked

- name: Fail while another task holds the lease of the toolchains
  ansible.builtin.assert:
    that: locked.leases | selectattr('name', 'eq', 'toolchains') | rejectattr('expired') | length == 0
"""

RETURN = r"""
leases:
  description: All leases, in alphabetical order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name of the lease.
      type: str
    owner:
      description: Its holder, or its last holder if it has expired.
      type: str
    token:
      description: Its fencing token.
      type: int
    ttl_seconds:
      description: Its term.
      type: float
    remaining_seconds:
      description: The time until it expires.
      type: float
    expired:
      description: Whether it has expired.
      type: bool
    expires_at:
      description: When it expires by the wall clock, for people; null when it has expired.
      type: str
    age_seconds:
      description: The time since it was acquired or last renewed; null for a lease of an earlier boot.
      type: float
    problem:
      description: Why its file cannot be read; all other values except the name are then null.
      type: str
  sample:
    - name: toolchains
      owner: laptop-extra/1734.202
      token: 42
      ttl_seconds: 900.0
      remaining_seconds: 611.2
      expired: false
      expires_at: "2026-01-15T10:20:00Z"
      age_seconds: 288.8
      problem: null
locks:
  description: All kernel locks that are held, by path.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The lock file.
      type: str
    name:
      description: The file's name without its suffix, or the name of a lock that a job took by name.
      type: str
    mode:
      description: V(exclusive) or V(shared).
      type: str
    holders:
      description: The processes that hold it.
      type: list
      elements: dict
      contains: &process
        pid:
          description: The id of the process.
          type: int
        command:
          description: The name of its program; null when the process has ended and a child holds the lock.
          type: str
        shared:
          description: Whether its lock is shared.
          type: bool
        running_seconds:
          description: The age of the process, which limits how long it can have held the lock or waited.
          type: float
    waiters:
      description: The processes that wait for it.
      type: list
      elements: dict
      contains: *process
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.paths import Paths
from ansible_collections.coldvox.ci.plugins.module_utils.store import describe
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import DEFAULT_STORE, Layout

ARGUMENTS: dict[str, dict[str, Any]] = {
    "store": {"type": "path", "default": DEFAULT_STORE},
    "lock_dirs": {"type": "list", "elements": "path", "default": [Paths().locks]},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    store, lock_dirs = module.params["store"], module.params["lock_dirs"]
    try:
        leases = describe.leases(store)
        locks = describe.locks([Layout(store).locks, *lock_dirs])
    except CiError as error:
        module.fail_json(msg=str(error), **error.details)
    module.exit_json(changed=False, leases=leases, locks=locks)


if __name__ == "__main__":
    main()
