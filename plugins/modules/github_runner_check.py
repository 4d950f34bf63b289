# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: github_runner_check
short_description: Check at GitHub whether a pool can have its registrations
version_added: 0.2.0
author: ColdVox maintainers (@Coldaine)
description:
  - Lists the runners with one request, and fails if the credential or the URL is wrong, if an instance would
    replace the registration of another machine, if a label claims another architecture, if the repository is
    public, or if a job hook will be missing.
  - While GitHub is down, this is a warning for a host that has runners, so that the rest of a run goes on.
  - Runs only on the controller and does not contact the host.
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
    description: The instances, as the filter P(coldvox.ci.runner_pool#filter) returns them.
    type: list
    elements: dict
    required: true
  replace:
    description: As in M(coldvox.ci.github_runner).
    type: str
    choices: [never, offline, always]
    default: never
  public_repository:
    description: As in M(coldvox.ci.github_runner).
    type: str
    choices: [refuse, allow]
    default: refuse
  host:
    description: What M(coldvox.ci.preflight) returned as C(coldvox_host).
    type: dict
    required: true
  hooks_follow:
    description: Whether this run brings the job hooks.
    type: bool
    default: false
  machine:
    description: The architecture of the host as C(uname -m) gives it.
    type: str
    required: true
seealso:
  - module: coldvox.ci.preflight
  - module: coldvox.ci.github_runner
"""

EXAMPLES = r"""
- name: Check the pool at GitHub before any change
  coldvox.ci.github_runner_check:
    url: https://github.com/Coldaine/ColdVox
    token: "{{ vault_github_runner_token }}"
    instances: "{{ pool.instances }}"
    host: "{{ ansible_facts['coldvox_host'] }}"
    machine: "{{ ansible_facts['architecture'] }}"
"""

RETURN = r"""{}"""
