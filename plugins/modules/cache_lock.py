#!/usr/bin/python
# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_lock
short_description: Hold a lease on a host across tasks
version_added: 0.1.0
author:
  - coldvox.ci contributors (@coldaine)
description:
  - Acquires, renews or releases a lease, a lock with an end, on the managed host. It outlives the task,
    so it protects work that spans several tasks or plays.
  - Every new holder gets a greater number, the fencing token. Numbers of a name never come back, neither
    after release or expiry nor after a reboot or when the lease's file is deleted.
  - The term is measured by the boot-time clock of the host, so setting the wall clock neither ends nor
    prolongs it. After a reboot a lease ends once the host is up for longer than its term.
extends_documentation_fragment:
  - coldvox.ci.attributes
attributes:
  check_mode:
    support: full
    details:
      - Does not wait. A lease that somebody else holds is reported as O(ignore:owner) of that holder.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Releasing is idempotent. Acquiring a lease that one holds renews it, which is a change.
options:
  name:
    description:
      - Name of the lease. Letters, digits and V(._+-), beginning with a letter or digit.
    type: str
    required: true
  state:
    description:
      - V(acquired) gets or renews the lease, V(released) gives it back.
    type: str
    choices: [acquired, released]
    default: acquired
  owner:
    description:
      - Who holds the lease. Whoever gives the same owner is the same holder, so it must be unique to the
        work.
      - By default the runner and job when run inside a GitHub Actions job, otherwise the host and this
        execution, so that the lease can only be renewed and released by its O(token).
    type: str
  ttl_seconds:
    description:
      - How long the lease is good unless it is renewed.
    type: int
    default: 300
  timeout_seconds:
    description:
      - How long to wait for another holder.
    type: int
    default: 300
  token:
    description:
      - The number returned when the lease was acquired. With O(state=acquired) it renews exactly that
        lease, and fails when somebody else has taken it over; with O(state=released) it releases exactly
        that one.
    type: int
  store:
    description:
      - The artifact store in which leases are kept.
    type: path
    default: /var/cache/coldvox-ci
seealso:
  - module: coldvox.ci.artifact
  - module: coldvox.ci.cache_lock_info
"""

EXAMPLES = r"""
- name: Keep others from changing the toolchains
  coldvox.ci.cache_lock:
    name: toolchains
    ttl_seconds: 900
  register: lease

- name: Hold on to it during long work
  coldvox.ci.cache_lock:
    name: toolchains
    token: "{{ lease.token }}"
    ttl_seconds: 900

- name: Give it back
  coldvox.ci.cache_lock:
    name: toolchains
    state: released
    token: "{{ lease.token }}"
"""

RETURN = r"""
token:
  description: The fencing token of the lease; null when it was free already.
  returned: success
  type: int
  sample: 42
owner:
  description: Who holds the lease, or held it until it was released; empty when it was free already.
  returned: success
  type: str
  sample: laptop-extra/1734.202
expires_at:
  description: When the lease ends by the clock on the wall, for people; null when it is not held.
  returned: success
  type: str
  sample: "2026-01-15T10:20:00Z"
waited_seconds:
  description: How long it took to get the lease.
  returned: success
  type: float
previous_owner:
  description: The owner before, when a lease was taken over; otherwise null.
  returned: success
  type: str
stolen:
  description: Whether a lease was taken over whose time had run out without being released.
  returned: success
  type: bool
"""

import os
import socket
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.clock import boottime, timestamp
from ansible_collections.coldvox.ci.plugins.module_utils.store import lease as leases
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import DEFAULT_STORE, Layout
from ansible_collections.coldvox.ci.plugins.module_utils.store.lease import LeaseFile, Waited, now

ARGUMENTS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["acquired", "released"], "default": "acquired"},
    "owner": {"type": "str"},
    "ttl_seconds": {"type": "int", "default": 300},
    "timeout_seconds": {"type": "int", "default": 300},
    # A fencing number, no secret.
    "token": {"type": "int", "no_log": False},
    "store": {"type": "path", "default": DEFAULT_STORE},
}


def default_owner() -> str:
    """Return a name that no other owner has.

    A runner has one job at a time, and a host one process of an id.
    """
    run, job = os.environ.get("GITHUB_RUN_ID"), os.environ.get("GITHUB_JOB", "")
    if run:
        return f"{os.environ.get('RUNNER_NAME') or socket.gethostname()}/{run}.{job}"
    return f"{socket.gethostname()}/{os.getpid()}.{int(boottime() * 1000)}"


def work(module: AnsibleModule) -> Waited:
    params = module.params
    if params["ttl_seconds"] < 1 or params["timeout_seconds"] < 0:
        raise CiError("The option ttl_seconds must be at least 1 and timeout_seconds at least 0; correct it.")
    layout = Layout(params["store"])
    if module.check_mode:
        layout.check()
    else:
        layout.prepare()
    file = LeaseFile(layout, params["name"], predict=module.check_mode)
    owner = params["owner"] or default_owner()
    if params["state"] == "acquired":
        wish = leases.Acquire(owner, params["ttl_seconds"], params["token"])
        return file.acquire(wish, params["timeout_seconds"])
    if not params["owner"] and params["token"] is None and not os.environ.get("GITHUB_RUN_ID"):
        raise CiError(
            f"To release the lease {params['name']}, give its token or the owner it was acquired with."
        )
    return file.release(leases.Release(owner, params["token"]))


def shown(owner: Optional[str], token: Optional[int]) -> dict[str, Any]:
    return {"owner": owner, "token": token} if owner else {}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        waited = work(module)
    except CiError as error:
        module.fail_json(msg=str(error), **error.details)
    answer, before = waited.answer, waited.before
    held = answer.outcome in (leases.ACQUIRED, leases.RENEWED, leases.BUSY)
    owner = answer.holder if answer.outcome == leases.BUSY else answer.owner
    token = answer.holder_token if answer.outcome == leases.BUSY else answer.token
    result: dict[str, Any] = {
        "changed": answer.outcome != leases.FREE,
        "token": token,
        "owner": owner,
        "expires_at": timestamp(now().wall + answer.remaining_seconds) if held else None,
        "waited_seconds": round(waited.seconds, 3),
        "previous_owner": answer.holder if answer.stolen else None,
        "stolen": answer.stolen,
    }
    if module._diff:
        gone = before is not None and answer.outcome == leases.FREE
        old = shown(before.owner, before.token) if before and not gone else {}
        result["diff"] = {"before": old, "after": shown(owner, token) if held else {}}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
