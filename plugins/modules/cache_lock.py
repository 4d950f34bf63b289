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
  - Acquires, renews or releases a lease on the managed host. A lease is a lock that expires. It outlives the
    task, so it protects work that spans several tasks or plays.
  - Every new holder gets a greater number, the fencing token. A name never gets the same number twice, also
    after release, expiry, a reboot, or the deletion of the lease's file.
  - The term is measured by the boot-time clock of the host, so a change of the wall clock neither ends nor
    extends it. After a reboot a lease expires when the host has been up for longer than the term.
extends_documentation_fragment:
  - coldvox.ci.attributes
attributes:
  check_mode:
    support: full
    details:
      - Does not wait. If another holder has the lease, RV(owner) is that holder.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Releasing is idempotent. Acquiring a lease again renews it, which is a change.
options:
  name:
    description:
      - Name of the lease. Letters, digits and V(._+-), beginning with a letter or digit.
    type: str
    required: true
  state:
    description:
      - V(acquired) acquires or renews the lease, V(released) releases it.
    type: str
    choices: [acquired, released]
    default: acquired
  owner:
    description:
      - The holder of the lease. Tasks with the same owner count as the same holder, so it must be unique to
        the work.
      - The default is the runner and the job inside a GitHub Actions job. Otherwise it is the host and this
        execution, so that the lease can be renewed and released only by its O(token).
    type: str
  ttl_seconds:
    description:
      - The term after which the lease expires unless it is renewed.
    type: int
    default: 300
  timeout_seconds:
    description:
      - How long to wait until another holder releases the lease or its lease expires.
    type: int
    default: 300
  token:
    description:
      - The number returned when the lease was acquired. With O(state=acquired) the task renews exactly that
        lease, and fails if another holder has taken it over. With O(state=released) it releases exactly that
        lease.
    type: int
  store:
    description:
      - The artifact store that holds the leases.
    type: path
    default: /var/cache/coldvox-ci
seealso:
  - module: coldvox.ci.artifact
  - module: coldvox.ci.cache_lock_info
"""

EXAMPLES = r"""
- name: Acquire the lease of the toolchains
  coldvox.ci.cache_lock:
    name: toolchains
    ttl_seconds: 900
  register: lease

- name: Renew it during long work
  coldvox.ci.cache_lock:
    name: toolchains
    token: "{{ lease.token }}"
    ttl_seconds: 900

- name: Release it
  coldvox.ci.cache_lock:
    name: toolchains
    state: released
    token: "{{ lease.token }}"
"""

RETURN = r"""
token:
  description: The fencing token of the lease; null if it was already free.
  returned: success
  type: int
  sample: 42
owner:
  description: The holder of the lease, or the one that released it; empty if it was already free.
  returned: success
  type: str
  sample: laptop-extra/1734.202
expires_at:
  description: When the lease expires by the wall clock, for people; null if it is not held.
  returned: success
  type: str
  sample: "2026-01-15T10:20:00Z"
waited_seconds:
  description: How long it took to get the lease.
  returned: success
  type: float
previous_owner:
  description: The owner of the expired lease that was taken over; otherwise null.
  returned: success
  type: str
stolen:
  description: Whether an expired lease was taken over that its holder had not released.
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
    # A fencing number is not a secret.
    "token": {"type": "int", "no_log": False},
    "store": {"type": "path", "default": DEFAULT_STORE},
}


def default_owner() -> str:
    """Return a unique name of this job or execution.

    A runner runs one job at a time, and a process id is unique on its host at one time.
    """
    run, job = os.environ.get("GITHUB_RUN_ID"), os.environ.get("GITHUB_JOB", "")
    if run:
        return f"{os.environ.get('RUNNER_NAME') or socket.gethostname()}/{run}.{job}"
    return f"{socket.gethostname()}/{os.getpid()}.{int(boottime() * 1000)}"


def work(module: AnsibleModule) -> Waited:
    params = module.params
    if params["ttl_seconds"] < 1 or params["timeout_seconds"] < 0:
        raise CiError(
            f"The term of {params['ttl_seconds']} s or the timeout of {params['timeout_seconds']} s is too "
            "small; give a ttl_seconds of at least 1 and a timeout_seconds of at least 0."
        )
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
            f"The release of the lease {params['name']} names no holder; give its token or the owner that "
            "acquired it."
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
