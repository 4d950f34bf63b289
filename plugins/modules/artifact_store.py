#!/usr/bin/python
# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact_store
short_description: Verify the artifact store, or free space in it
version_added: 0.1.0
author:
  - coldvox.ci contributors (@coldaine)
description:
  - Maintains the whole store that M(coldvox.ci.artifact) fills on the managed host, in one call.
  - With O(state=verified) it compares every directory with its receipt, and with O(repair=true) it repairs
    the damaged ones.
  - With O(state=collected) it removes artifacts until the limits are met. Artifacts without a name go first,
    then the least recently used ones. Partial downloads and leftovers of killed tasks are removed too.
  - It never removes an artifact that the C(set_name) of M(coldvox.ci.artifact) lists (as the roles of this
    collection do), that is pinned, that a job reads, that a task downloads, that the link of a
    library, runner or toolchain points to, or that has hard links elsewhere. A model with a link of its own
    is removed only when it was unused for longer than O(max_unused_days).
  - A reader of the store sees a whole artifact or none of it, also when the task is killed.
extends_documentation_fragment:
  - coldvox.ci.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - The diff shows the installed names with their digests, or the damaged names with their problems.
  idempotent:
    support: full
options:
  store:
    description:
      - The directory of the store. A directory that does not exist counts as empty and is not created.
    type: path
    default: /var/cache/coldvox-ci
  state:
    description:
      - V(verified) compares the artifacts with their receipts, V(collected) frees space.
    type: str
    choices: [verified, collected]
    required: true
  full:
    description:
      - Read every byte. By default owners, sizes, modes and modification times are compared.
      - Only with O(state=verified).
    type: bool
    default: false
  repair:
    description:
      - Remove damaged artifacts and download them again from their source. If that is not possible, their
        names and links are removed too, and RV(corrupt[].detail) says why.
      - Only with O(state=verified). Without it, damage is a warning and changes nothing.
    type: bool
    default: false
  keep_bytes:
    description:
      - The largest total size of all artifacts; V(0) sets no limit.
      - Only with O(state=collected).
    type: int
    default: 0
  max_unused_days:
    description:
      - The number of days that an artifact may be unused; V(0) sets no limit. Every call of
        M(coldvox.ci.artifact) that names the artifact counts as a use, and so does a job that holds it.
      - After a jump of the host's clock, no artifact counts as too old for that many days.
      - Only with O(state=collected).
    type: int
    default: 0
  min_free_percent:
    description:
      - The part of the file system to keep free; V(0) sets no limit.
      - Only with O(state=collected).
    type: int
    default: 0
  dry_run:
    description:
      - Only report what would be removed, as in check mode.
      - Only with O(state=collected).
    type: bool
    default: false
seealso:
  - module: coldvox.ci.artifact
  - module: coldvox.ci.artifact_store_info
"""

EXAMPLES = r"""
- name: Keep the store below 20 GB and a tenth of the disk free
  coldvox.ci.artifact_store:
    state: collected
    keep_bytes: 20000000000
    max_unused_days: 30
    min_free_percent: 10

- name: See which artifacts a limit of 5 GB would remove
  coldvox.ci.artifact_store:
    state: collected
    keep_bytes: 5000000000
    dry_run: true
  register: plan

- name: Read every byte again and repair damaged artifacts
  coldvox.ci.artifact_store:
    state: verified
    full: true
    repair: true

- name: Fail if an artifact is damaged
  coldvox.ci.artifact_store:
    state: verified
  register: store
  failed_when: store.corrupt | length > 0
"""

RETURN = r"""
removed:
  description: The directories that were removed, in the order of their removal.
  returned: success
  type: list
  elements: dict
  contains: &tree
    sha256:
      description: The digest that names the directory.
      type: str
    names:
      description: The names of its artifacts.
      type: list
      elements: str
    bytes:
      description: The size of its files.
      type: int
    last_used:
      description: When it was last used; null with O(state=verified).
      type: str
    reason:
      description: Why it was removed, or why it stayed.
      type: str
  sample:
    - sha256: 47f9a81ebb039dbb0bd319175c36ac393c0893b796c2b6303e64cf58c27b69f6
      names: [vosk-model-en-us-0.22]
      bytes: 2850411733
      last_used: "2026-01-15T10:20:00Z"
      reason: unused for 41 days
kept:
  description: The directories that stayed, least recently used first.
  returned: success
  type: list
  elements: dict
  contains: *tree
corrupt:
  description: The damaged directories; always empty with O(state=collected).
  returned: success
  type: list
  elements: dict
  contains:
    sha256:
      description: The digest that names the directory.
      type: str
    names:
      description: The names of its artifacts.
      type: list
      elements: str
    problem:
      description: How it differs from its receipt.
      type: str
    bytes:
      description: The size of its files before the repair.
      type: int
    outcome:
      description:
        - V(found) means reported only, V(repaired) downloaded again, V(removed) removed with its names,
          V(kept) that it could not be removed.
      type: str
    detail:
      description: Why it was not repaired; empty otherwise.
      type: str
    bytes_downloaded:
      description: Bytes downloaded to repair it.
      type: int
freed_bytes:
  description: The space that was freed, directories and leftovers together.
  returned: success
  type: int
leftover_bytes:
  description: The part of RV(freed_bytes) that was partial downloads and other leftovers.
  returned: success
  type: int
total_bytes:
  description: The size of all remaining directories.
  returned: success
  type: int
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.store.collect import Policy, collect
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import DEFAULT_STORE
from ansible_collections.coldvox.ci.plugins.module_utils.store.verify import REMOVED, outline, verify

ARGUMENTS: dict[str, dict[str, Any]] = {
    "store": {"type": "path", "default": DEFAULT_STORE},
    "state": {"type": "str", "choices": ["verified", "collected"], "required": True},
    "full": {"type": "bool", "default": False},
    "repair": {"type": "bool", "default": False},
    "keep_bytes": {"type": "int", "default": 0},
    "max_unused_days": {"type": "int", "default": 0},
    "min_free_percent": {"type": "int", "default": 0},
    "dry_run": {"type": "bool", "default": False},
}
# An option of the other state is an error, because the module would ignore it silently.
OPTIONS_OF = {
    "verified": ("full", "repair"),
    "collected": ("keep_bytes", "max_unused_days", "min_free_percent", "dry_run"),
}


def check_options(params: dict[str, Any]) -> None:
    for state, options in OPTIONS_OF.items():
        foreign = [option for option in options if params[option] and state != params["state"]]
        if foreign:
            raise CiError(
                f"The option {', '.join(foreign)} is for state={state} and would be ignored with "
                f"state={params['state']}; leave it out or call the module once for each state."
            )


def collected(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    policy = Policy(params["keep_bytes"], params["max_unused_days"], params["min_free_percent"])
    done = collect(params["store"], policy, dry_run=params["dry_run"] or module.check_mode)
    return {
        # A dry run never reports a change; check mode predicts the change.
        "changed": done.changed and not params["dry_run"],
        "removed": [item._asdict() for item in done.removed],
        "kept": [item._asdict() for item in done.kept],
        "corrupt": [],
        "freed_bytes": done.freed_bytes,
        "leftover_bytes": done.leftover_bytes,
        "total_bytes": done.total_bytes,
        "warnings": done.warnings,
        "diff": {"before": done.before, "after": done.after},
    }


def verified(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    done = verify(params["store"], full=params["full"], repair=params["repair"], predict=module.check_mode)
    before, after = outline(done.corrupt)
    return {
        "changed": done.changed,
        "removed": [
            {
                "sha256": item.sha256,
                "names": item.names,
                "bytes": item.bytes,
                "last_used": None,
                "reason": f"{item.problem}; {item.detail}",
            }
            for item in done.corrupt
            if item.outcome == REMOVED
        ],
        "kept": [
            {**item._asdict(), "last_used": None, "reason": "as it was published"} for item in done.sound
        ],
        "corrupt": [item._asdict() for item in done.corrupt],
        "freed_bytes": done.freed_bytes,
        "leftover_bytes": 0,
        "total_bytes": done.total_bytes,
        "warnings": done.warnings,
        "diff": {"before": before, "after": after},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        check_options(module.params)
        answer = collected(module) if module.params["state"] == "collected" else verified(module)
    except CiError as error:
        module.fail_json(msg=str(error), **error.details)
    for warning in answer.pop("warnings"):
        module.warn(warning)
    if not module._diff:
        del answer["diff"]
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
