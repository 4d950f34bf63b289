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
  - Lists the runners of a repository, organization or enterprise, all pages of them or the ones in O(names),
    and says how their versions stand to the release that GitHub means for this place.
  - A runner that does not update itself must take each release within 30 days of it, or GitHub gives it no
    more jobs. GitHub's API does not date its releases; Enterprise Cloud names the end of support of a
    version, which is returned where it does.
  - Takes one request per hundred runners, or one per name where that is less; one each for packages and
    runner groups; and one for each outdated version.
  - What GitHub says of C(status) and C(busy) can be wrong, above all after the host slept.
  - It runs on the controller alone; the host is not contacted. With several hosts in the play, use
    C(run_once).
extends_documentation_fragment:
  - coldvox.ci.attributes
  - coldvox.ci.attributes.info
  - coldvox.ci.attributes.actiongroup_github
  - coldvox.ci.github
options:
  names:
    description: The runners to look for, in any letter case; all when this is not given.
    type: list
    elements: str
seealso:
  - module: coldvox.ci.github_runner
"""

EXAMPLES = r"""
- name: Look at all runners
  coldvox.ci.github_runner_info:
    url: https://github.com/Coldaine/ColdVox
    token: "{{ vault_github_runner_token }}"
  run_once: true
  register: pool

- name: Refuse to go on with a runner that is behind
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
      description: Whether GitHub thinks that it has a job.
      type: bool
    labels:
      description: All its labels.
      type: list
      elements: str
    custom_labels:
      description: Those of its labels that can be changed.
      type: list
      elements: str
    os:
      description: Its operating system.
      type: str
    group:
      description: Name of its runner group; empty where GitHub does not tell.
      type: str
    group_id:
      description: Id of its runner group; null where GitHub does not tell.
      type: int
    ephemeral:
      description: Whether it takes one job only.
      type: bool
    version:
      description: Version of the runner; empty before its first connection.
      type: str
    outdated:
      description: Whether RV(newest_version) is newer; null where one of them is not known.
      type: bool
    releases_behind:
      description: How many feature releases it is behind; null where that is not known.
      type: int
    support_ends_at:
      description: When an outdated version gets no more jobs (UTC); empty where GitHub does not tell.
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
  description: Those of O(names) that are not registered.
  returned: success
  type: list
  elements: str
  sample: []
newest_version:
  description: The release that GitHub means for this place; empty where there is no runner or no release.
  returned: success
  type: str
  sample: 2.336.0
"""
