# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: github_variable
short_description: Keep a variable of GitHub Actions
version_added: 0.1.0
author: ColdVox maintainers (@Coldaine)
description:
  - Keeps an Actions variable of a repository or organization, which workflows read as C(vars.NAME).
  - A dictionary or list is stored as canonical JSON, for C(fromJSON(vars.NAME\)). It is not written again
    when what is stored means the same.
  - A variable is not a secret; everybody who can read the repository's settings, and every job, can read it.
  - It runs on the controller alone; the host is not contacted.
extends_documentation_fragment:
  - coldvox.ci.attributes
  - coldvox.ci.attributes.actiongroup_github
  - coldvox.ci.github
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the variable; letters, digits and C(_), no digit in front, and not beginning with C(GITHUB_).
        GitHub keeps it in upper case.
    type: str
    required: true
  value:
    description:
      - A text, or a dictionary or list to store as JSON. At most 48 KB. Numbers and truth values have to be
        quoted.
      - Required with O(state=present).
    type: raw
  visibility:
    description:
      - Which repositories of the organization see the variable. A new one is for the private ones unless
        this says otherwise; one that exists keeps what it has, also a choice of repositories.
    type: str
    choices: [all, private]
  state:
    description: Whether the variable is to exist.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Send the jobs to our own runners
  coldvox.ci.github_variable:
    url: https://github.com/Coldaine/ColdVox
    token: "{{ vault_github_variables_token }}"
    name: CI_RUNS_ON
    value: [self-hosted, Linux, X64, fedora]

- name: Send them back to GitHub's
  coldvox.ci.github_variable:
    url: https://github.com/Coldaine/ColdVox
    name: CI_RUNS_ON
    state: absent
"""

RETURN = r"""
name:
  description: Name of the variable as GitHub keeps it.
  returned: success
  type: str
  sample: CI_RUNS_ON
value:
  description: The text that is stored.
  returned: O(state=present)
  type: str
  sample: '["self-hosted","Linux","X64","fedora"]'
visibility:
  description: Which repositories see it; empty for the variable of a repository.
  returned: O(state=present)
  type: str
  sample: ""
"""
