# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: runner_pool
short_description: Derive accounts, directories, drop-ins and module options from the instances of a host
version_added: 0.1.0
author: ColdVox maintainers (@Coldaine)
description:
  - Turns the inventory's list of runner instances into the data that the roles need to create them.
  - A value that GitHub, the runner or systemd would not accept is an error that names the instance and the
    reason.
options:
  _input:
    description: The instances, each with C(name) and optionally the other keys of the role's input
      C(github_runner_instances).
    type: list
    elements: dict
    required: true
  base_dir:
    description: Directory that holds one directory per instance.
    type: path
    required: true
  labels:
    description: Labels of every instance.
    type: list
    elements: str
    default: []
  resource_classes:
    description:
      - The classes by name, each with C(cores), C(memory_gib) and optionally C(disk_gib), C(tasks_max),
        C(cpu_weight), C(max_instances), C(labels) and C(environment).
    type: dict
    default: {}
  environment:
    description: Variables for the jobs of every instance.
    type: dict
    default: {}
  path:
    description: Search path of every job, before the instance's own C(.cargo/bin).
    type: list
    elements: str
    default: []
  state:
    description: State of the whole pool. V(drained) and V(absent) apply to every instance.
    type: str
    choices: [present, absent, drained]
    default: present
  enrols:
    description: Whether the host registers its JIT instances for their next jobs itself.
    type: bool
    default: false
  keep:
    description: What may stay on disk for an instance's next job.
    type: list
    elements: str
    default: []
  trust:
    description: Who may start jobs. V(strangers) makes all instances JIT instances and keeps nothing.
    type: str
    choices: [team, strangers]
    default: team
seealso:
  - plugin: coldvox.ci.github_runner
    plugin_type: module
"""

EXAMPLES = r"""
- name: Show the derived data of a pool with one instance
  ansible.builtin.debug:
    msg: "{{ [{'name': 'laptop-extra', 'resource_class': 'heavy'}] | coldvox.ci.runner_pool(
      base_dir='/var/lib/actions-runner', resource_classes=classes, path=['/usr/bin']) }}"
  vars:
    classes:
      heavy:
        cores: 6
        memory_gib: 12
        labels: [heavy-build]
"""

RETURN = r"""
_value:
  description: The derived pool.
  type: dict
  contains:
    instances:
      description: The instances for M(coldvox.ci.github_runner).
      type: list
      elements: dict
    users:
      description: Accounts to create, each with C(name), C(home) and C(description).
      type: list
      elements: dict
    directories:
      description: Directories to create, each with C(path), C(mode), C(owner) and C(group).
      type: list
      elements: dict
    drop_ins:
      description: Drop-in files to write, one per unit, each with C(path) and C(content).
      type: list
      elements: dict
"""

from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

from ansible.errors import AnsibleFilterError
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.runner.pool import PoolDefaults, resolve_pool


def runner_pool(
    instances: Sequence[Mapping[str, Any]],
    base_dir: str,
    labels: Sequence[str] = (),
    resource_classes: Optional[Mapping[str, Mapping[str, Any]]] = None,
    environment: Optional[Mapping[str, object]] = None,
    path: Sequence[str] = (),
    state: str = "present",
    enrols: bool = False,
    keep: Sequence[str] = (),
    trust: str = "team",
) -> dict[str, Any]:
    """Return the derived pool as plain data."""
    defaults = PoolDefaults(
        base_dir=str(base_dir),
        labels=labels,
        resource_classes=resource_classes,
        environment=environment,
        path=path,
        state=state,
        enrols=enrols,
        keep=keep,
        trust=trust,
    )
    try:
        return resolve_pool(instances, defaults)
    except CiError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"runner_pool": runner_pool}
