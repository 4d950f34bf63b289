#!/usr/bin/python
# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact_store
short_description: Verify the artifact store and make room in it
version_added: 0.1.0
author:
  - coldvox.ci contributors (@coldaine)
description:
  - Looks after the store on the managed host that M(coldvox.ci.artifact) fills, all of it in one call.
  - Verifying compares every directory with its receipt, and mends what is damaged where it is told to.
  - Collecting makes room. What no name refers to goes first, then what was not used for longest, and no
    more than the limits ask for. Broken downloads and what killed tasks left behind go as well.
  - Never taken away is what is pinned, what a job is reading or a task is fetching, what the link of a
    library, runner or toolchain leads to, and what has hard links elsewhere. A model with a link of its own
    goes only when it was unused for too long.
  - A reader of the store sees all of an artifact or nothing of it, also when the task is killed.
extends_documentation_fragment:
  - coldvox.ci.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - The diff shows the installed names with their digests, or the damaged names with what is wrong.
  idempotent:
    support: full
options:
  store:
    description:
      - The directory of the store. One that does not exist is empty, and is not created.
    type: path
    default: /var/cache/coldvox-ci
  state:
    description:
      - V(verified) compares what is there with what was published, V(collected) makes room.
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
      - Throw away what is damaged and fetch it again from where it came from. Where that is not possible
        its names and links go too, and RV(corrupt[].detail) says why.
      - Only with O(state=verified). Without it, damage is a warning and changes nothing.
    type: bool
    default: false
  keep_bytes:
    description:
      - The most that all artifacts together may take; V(0) sets no limit.
      - Only with O(state=collected).
    type: int
    default: 0
  max_unused_days:
    description:
      - How long an artifact may be unused; V(0) sets no limit. Every call of M(coldvox.ci.artifact) that
        names it is a use, and so is a job that holds it.
      - Nothing counts as too old for that many days after the clock of the host has jumped.
      - Only with O(state=collected).
    type: int
    default: 0
  min_free_percent:
    description:
      - How much of the file system shall stay free; V(0) sets no limit.
      - Only with O(state=collected).
    type: int
    default: 0
  dry_run:
    description:
      - Only tell what would be removed, as in check mode.
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

- name: See what a budget of 5 GB would cost
  coldvox.ci.artifact_store:
    state: collected
    keep_bytes: 5000000000
    dry_run: true
  register: plan

- name: Read every byte again and mend what is damaged
  coldvox.ci.artifact_store:
    state: verified
    full: true
    repair: true

- name: Stop when anything is damaged
  coldvox.ci.artifact_store:
    state: verified
  register: store
  failed_when: store.corrupt | length > 0
"""

RETURN = r"""
removed:
  description: The directories that were removed, in that order.
  returned: success
  type: list
  elements: dict
  contains: &tree
    sha256:
      description: The digest that names the directory.
      type: str
    names:
      description: The artifacts that it belonged to.
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
  description: What was damaged; always empty with O(state=collected).
  returned: success
  type: list
  elements: dict
  contains:
    sha256:
      description: The digest that names the directory.
      type: str
    names:
      description: The artifacts that it belongs to.
      type: list
      elements: str
    problem:
      description: What is wrong with it.
      type: str
    bytes:
      description: The size of its files when it was found.
      type: int
    outcome:
      description:
        - V(found) nothing was done, V(repaired) fetched again, V(removed) taken away with its names, V(kept)
          could not be taken away.
      type: str
    detail:
      description: Why it was not repaired; empty when there is nothing to say.
      type: str
    bytes_downloaded:
      description: What was transferred to repair it.
      type: int
freed_bytes:
  description: What was freed, directories and leftovers together.
  returned: success
  type: int
leftover_bytes:
  description: How much of that were broken downloads and the like.
  returned: success
  type: int
total_bytes:
  description: The size of all directories that are left.
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
# An option of one state is a mistake in the other, which would ignore it.
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
        # A dry run only answers a question; check mode predicts the change.
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
