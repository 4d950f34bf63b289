#!/usr/bin/python
# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: github_manual_runner
short_description: Take over runners that a person installed by hand
version_added: 0.1.0
author: ColdVox maintainers (@Coldaine)
description:
  - Finds the GitHub Actions runners of a host that C(config.sh) and C(svc.sh) set up, and takes those over
    that have the name of an instance of the pool. The playbook C(adopt.yml) uses it before and after
    M(coldvox.ci.github_runner).
  - It looks at all units in O(unit_dir), all running listeners, and directories such as
    C(/home/*/actions-runner*) and C(/opt/actions-runner*).
  - It never ends a running job. Before a stop it removes the custom labels, so that GitHub sends no new job,
    and waits for the end of the runner's C(Runner.Worker).
extends_documentation_fragment:
  - coldvox.ci.attributes
  - coldvox.ci.attributes.actiongroup_github
  - coldvox.ci.github
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  instances:
    description: The instances of the pool on this host, as for M(coldvox.ci.github_runner).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The name of the runner at GitHub.
        type: str
        required: true
      user:
        description: Not used here.
        type: str
      labels:
        description: Labels in addition to the default labels. They must include those of the old runner.
        type: list
        elements: str
        default: []
      default_labels:
        description: Whether the runner gets the default labels.
        type: bool
        default: true
      group:
        description: Runner group of the organization or enterprise. It must be that of the old runner.
        type: str
        default: ""
      work_dir:
        description: Not used here.
        type: str
        default: _work
      ephemeral:
        description: Whether the runner takes only one job, so that it need not be online.
        type: bool
        default: false
      jit:
        description: As O(instances[].ephemeral).
        type: bool
        default: false
      environment:
        description: Not used here.
        type: dict
        default: {}
      path:
        description: Not used here.
        type: list
        elements: str
        default: []
      state:
        description: V(absent) means that nothing takes the place of the old runner.
        type: str
        choices: [present, absent, drained]
  base_dir:
    description: Directory of the pool's instances. Runners below it are not installed by hand.
    type: path
    default: /var/lib/actions-runner
  state_dir:
    description: Directory of the records for the way back, readable by root only.
    type: path
    default: /var/lib/coldvox-ci
  unit_dir:
    description: Directory of unit files.
    type: path
    default: /etc/systemd/system
  drain_timeout_seconds:
    description: How long to wait for a running job. After that time the module fails and the job goes on.
    type: int
    default: 1800
  online_timeout_seconds:
    description: The longest that a runner may take to come online at GitHub when it goes back.
    type: int
    default: 60
  state:
    description:
      - V(drained) waits for the running job and stops the runner. It fails before any change if the inventory
        does not name a runner of this host, or lacks one of its labels.
      - V(absent) disables the unit and removes key and registration from the directory. It fails unless the
        pool's instance of the same name is online.
      - V(present) goes back. It registers the old runner again, unless its old registration still exists, and
        starts its unit. The pool must no longer have an instance of this name.
    type: str
    choices: [drained, absent, present]
    required: true
  registered:
    description: GitHub's view. The action plugin sets it and overwrites any other value.
    type: list
    elements: dict
    default: []
  prepared:
    description: Whether the controller has done its part. The action plugin sets it.
    type: bool
    default: false
  registration_token:
    description: Token for C(config.sh). The action plugin sets it and overwrites any other value.
    type: str
requirements:
  - systemd, and C(setpriv) of util-linux, on the host.
"""

EXAMPLES = r"""
- name: Stop the runner that was installed by hand, after its job
  coldvox.ci.github_manual_runner:
    url: https://github.com/Coldaine/ColdVox
    token: "{{ vault_github_runner_token }}"
    instances:
      - name: laptop-extra
        labels: [fedora, nobara]
    state: drained
"""

RETURN = r"""
runners:
  description: The runners that have the name of an instance, or had it before they were taken over.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name.
      type: str
    root:
      description: Its directory.
      type: str
    unit:
      description: Its unit; empty if a person started it.
      type: str
    user:
      description: The account that it runs as.
      type: str
    running:
      description: Whether it runs.
      type: bool
    busy:
      description: Whether it runs a job.
      type: bool
    steps:
      description: What was done, or in check mode would be done.
      type: list
      elements: str
foreign:
  description: Sentences about runners that belong to another repository or organization, and stay.
  returned: success
  type: list
  elements: str
plan:
  description: What a takeover does, in sentences for people.
  returned: O(state=drained)
  type: list
  elements: str
archive_dirs:
  description: Directories that may have archives of models and libraries, for M(coldvox.ci.artifact).
  returned: success
  type: list
  elements: str
"""

import os
import pwd
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import run
from ansible_collections.coldvox.ci.plugins.module_utils.runner import takeover
from ansible_collections.coldvox.ci.plugins.module_utils.runner.account import Host
from ansible_collections.coldvox.ci.plugins.module_utils.runner.by_hand import ByHand
from ansible_collections.coldvox.ci.plugins.module_utils.runner.options import BY_HAND_SPEC, normal_instances


def report(name: str, seen: takeover.Seen, todo: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": name,
        **about(seen.runner),
        "running": seen.running,
        "busy": seen.busy,
        "configured": seen.configured,
        "pool_id": seen.pool_id,
        "former_labels": list(seen.labels),
        "steps": list(todo),
    }


def about(runner: ByHand) -> dict[str, Any]:
    own = {"root": runner.root, "unit": runner.unit, "user": runner.user, "name": runner.name}
    return {**own, "url": runner.settings.url, "group": runner.settings.group, "id": runner.settings.agent_id}


def archive_dirs(runners: list[ByHand]) -> list[str]:
    """Return the directories of the runners and the homes of their accounts."""
    homes = {entry.pw_name: entry.pw_dir for entry in pwd.getpwall()}
    places = [place for runner in runners for place in (runner.root, homes.get(runner.user, ""))]
    return sorted({place for place in places if place not in ("", "/") and os.path.isdir(place)})


def main() -> None:
    module = AnsibleModule(argument_spec=BY_HAND_SPEC, supports_check_mode=True)
    params = module.params
    host = Host(
        run=run,
        sleep=time.sleep,
        now=time.monotonic,
        unit_dir=params["unit_dir"],
        drain_timeout_seconds=params["drain_timeout_seconds"],
    )
    registered = {runner["name"].lower(): runner for runner in params["registered"]}
    try:
        names = [item["name"] for item in normal_instances({**params, "state": "present"})]
        seen = takeover.inspect(host, params, params["url"] or "", names)
        reports = []
        for name, item in seen.listed:
            remote = registered.get(name.lower(), {})
            todo = takeover.steps(params["state"], item, remote.get("id"))
            reports.append(report(name, item, todo))
            if params["prepared"] and not module.check_mode:
                takeover.perform(
                    host,
                    params["state_dir"],
                    name,
                    item,
                    todo,
                    remote.get("custom_labels", []),
                    params["registration_token"] or "",
                )
    except CiError as error:
        module.fail_json(msg=str(error), **error.details)
    except OSError as error:
        module.fail_json(
            msg=f"The runners of this host failed at '{error.filename}' ({error.strerror}); correct that "
            "path, then run again."
        )
    module.exit_json(
        changed=any(item["steps"] for item in reports),
        runners=reports,
        unlisted=[about(runner) for runner in seen.unlisted],
        foreign=[
            f"Runner '{runner.name}' at {runner.place} belongs to {runner.settings.url} and stays as it is."
            for runner in seen.foreign
        ],
        archive_dirs=archive_dirs(
            [item.runner for _name, item in seen.listed] + seen.unlisted + seen.foreign
        ),
    )


if __name__ == "__main__":
    main()
