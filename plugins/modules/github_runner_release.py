# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: github_runner_release
short_description: Look up the runner release that GitHub offers
version_added: 0.1.0
author: ColdVox maintainers (@Coldaine)
description:
  - Returns version, URL and SHA-256 of the Linux runner that GitHub offers to a repository, organization
    or enterprise. GitHub rolls releases out by scope, so it can differ from the newest release on the
    releases page.
  - A package without a checksum is an error, unless O(sha256) gives one.
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
  architecture:
    description: Architecture, as the runner's packages name it.
    type: str
    choices: [x64, arm64, arm]
    default: x64
  sha256:
    description: Checksum to use if GitHub gives none.
    type: str
    default: ""
seealso:
  - module: coldvox.ci.github_runner
"""

EXAMPLES = r"""
- name: Look up the runner for this repository
  coldvox.ci.github_runner_release:
    url: https://github.com/Coldaine/ColdVox
    token: "{{ vault_github_runner_token }}"
  register: runner_release
"""

RETURN = r"""
version:
  description: Version of the runner.
  returned: success
  type: str
  sample: 2.336.0
url:
  description: URL of the archive.
  returned: success
  type: str
  sample: https://github.com/actions/runner/releases/download/v2.336.0/actions-runner-linux-x64-2.336.0.tar.gz
sha256:
  description: SHA-256 of the archive.
  returned: success
  type: str
  sample: 04cf0be1aff4c3ec3554466c39124ca250e3effd8873bb7e8d68535aa9505d5d
"""
