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
    if the stored text has the same value.
  - A variable is not a secret. Everybody who can read the repository's settings, and every job, can read it.
  - Runs only on the controller and does not contact the host.
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
      - Name of the variable. It consists of letters, digits and C(_) and starts neither with a digit nor with
        C(GITHUB_). GitHub stores it in upper case.
    type: str
    required: true
  value:
    description:
      - A string, or a dictionary or list to store as JSON. At most 48 KB. Quote numbers and booleans.
      - Required with O(state=present).
    type: raw
  visibility:
    description:
      - The repositories of the organization that can read the variable. Without this option a new variable
        is for private repositories, and an existing variable keeps its visibility, also a list of selected
        repositories.
    type: str
    choices: [all, private]
  state:
    description: Whether the variable is to exist.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Send the jobs to self-hosted runners
  coldvox.ci.github_variable:
    url: https://github.com/Coldaine/ColdVox
    token: "{{ vault_github_variables_token }}"
    name: CI_RUNS_ON
    value: [self-hosted, Linux, X64, fedora]

- name: Send the jobs to GitHub-hosted runners again
  coldvox.ci.github_variable:
    url: https://github.com/Coldaine/ColdVox
    name: CI_RUNS_ON
    state: absent
"""

RETURN = r"""
name:
  description: Name of the variable as GitHub stores it.
  returned: success
  type: str
  sample: CI_RUNS_ON
value:
  description: The stored text.
  returned: O(state=present)
  type: str
  sample: '["self-hosted","Linux","X64","fedora"]'
visibility:
  description: The repositories that can read it; empty for the variable of a repository.
  returned: O(state=present)
  type: str
  sample: ""
"""
