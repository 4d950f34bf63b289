# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: github_runner_info
short_description: List GitHub Actions runners as GitHub sees them
version_added: 0.1.0
author: ColdVox maintainers (@Coldaine)
description:
  - Lists all runners of a repository, organization or enterprise, or the ones in O(names), and how far their
    versions are behind the release that GitHub offers there.
  - A runner that does not update itself must install each release within 30 days, or GitHub sends it no more
    jobs. GitHub's API has no dates of releases. Enterprise Cloud names the end of support of a version, which
    is returned if GitHub gives it.
  - Takes one request per hundred runners, or one per name if that is less. It takes one more each for the
    packages, the runner groups and each outdated version.
  - GitHub's C(status) and C(busy) can be wrong, above all after the host was suspended.
  - Runs only on the controller and does not contact the host. With several hosts in the play, use
    C(run_once).
extends_documentation_fragment:
  - coldvox.ci.attributes
  - coldvox.ci.attributes.info
  - coldvox.ci.attributes.actiongroup_github
  - coldvox.ci.github
options:
  names:
    description: The runners to list, in any letter case. The default is all runners.
    type: list
    elements: str
seealso:
  - module: coldvox.ci.github_runner
"""

EXAMPLES = r"""
- name: List all runners
  coldvox.ci.github_runner_info:
    url: https://github.com/Coldaine/ColdVox
    token: "{{ vault_github_runner_token }}"
  run_once: true
  register: pool

- name: Fail if a runner is outdated
  ansible.builtin.assert:
    that: pool.runners | selectattr('outdated', 'true') | length == 0
"""

RETURN = r"""
runners:
  description: The runners, by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the runner.
      type: str
    id:
      description: Its id at GitHub.
      type: int
    status:
      description: V(online) or V(offline), as GitHub sees it.
      type: str
    busy:
      description: Whether it runs a job, as GitHub sees it.
      type: bool
    labels:
      description: All its labels.
      type: list
      elements: str
    custom_labels:
      description: Its labels that can be changed.
      type: list
      elements: str
    os:
      description: Its operating system.
      type: str
    group:
      description: Name of its runner group; empty if GitHub does not give it.
      type: str
    group_id:
      description: Id of its runner group; null if GitHub does not give it.
      type: int
    ephemeral:
      description: Whether it takes only one job.
      type: bool
    version:
      description: Version of the runner; empty before its first connection.
      type: str
    outdated:
      description: Whether RV(newest_version) is newer; null if one of the versions is unknown.
      type: bool
    releases_behind:
      description: The number of feature releases that it is behind; null if unknown.
      type: int
    support_ends_at:
      description: When an outdated version gets no more jobs (UTC); empty if GitHub does not give it.
      type: str
  sample:
    - name: laptop-extra
      id: 23
      status: online
      busy: false
      labels: [self-hosted, Linux, X64, fedora, nobara]
      custom_labels: [fedora, nobara]
      os: linux
      group: Default
      group_id: 1
      ephemeral: false
      version: 2.334.0
      outdated: true
      releases_behind: 2
      support_ends_at: "2026-12-01T00:00:00Z"
missing:
  description: The entries of O(names) that are not registered.
  returned: success
  type: list
  elements: str
  sample: []
newest_version:
  description: The release that GitHub offers; empty if there is no runner or no release.
  returned: success
  type: str
  sample: 2.336.0
"""
