#!/usr/bin/python
# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_lock_info
short_description: Show all leases and kernel locks with their holders
version_added: 0.1.0
author:
  - coldvox.ci contributors (@coldaine)
description:
  - Lists the leases of M(coldvox.ci.cache_lock) on the managed host, also those that have run out.
  - Lists the kernel locks that are held at this moment, those of the store and of other directories, with
    the processes that hold them and those that wait.
  - Processes are those that C(/proc/locks) shows; run it as root on the host itself to see all.
extends_documentation_fragment:
  - coldvox.ci.attributes
  - coldvox.ci.attributes.info
options:
  store:
    description:
      - The artifact store in which leases and locks are kept.
    type: path
    default: /var/cache/coldvox-ci
  lock_dirs:
    description:
      - Further directories with lock files, by default the one for the locks that jobs take by name. One that
        does not exist has none.
    type: list
    elements: path
    default: [/run/coldvox-ci/locks]
seealso:
  - module: coldvox.ci.cache_lock
  - module: coldvox.ci.artifact_store_info
"""

EXAMPLES = r"""
- name: See who holds what
  coldvox.ci.cache_lock_info:
  register: locked

- name: Stop while somebody changes the toolchains
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
      description: Who holds it, or held it until it ran out.
      type: str
    token:
      description: Its fencing number.
      type: int
    ttl_seconds:
      description: The term it was asked for.
      type: float
    remaining_seconds:
      description: How long it goes on.
      type: float
    expired:
      description: Whether its time has run out.
      type: bool
    expires_at:
      description: When it ends by the clock on the wall, for people; null when it has run out.
      type: str
    age_seconds:
      description: How long ago it was acquired or last renewed; null for a lease of an earlier boot.
      type: float
    problem:
      description: What is wrong with its file; then everything else but the name is null.
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
      description: Its name without the ending.
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
          description: The process.
          type: int
        command:
          description: The name of its program; null when it has ended and a child holds the lock.
          type: str
        shared:
          description: Whether it holds or wants the lock together with others.
          type: bool
        running_seconds:
          description: How long the process runs, which is the longest that it can have held or waited.
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
