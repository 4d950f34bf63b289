# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter coldvox.ci.artifact_refusals."""

from __future__ import annotations

DOCUMENTATION = r"""
name: artifact_refusals
short_description: Give the reasons why artifacts would be refused
version_added: 0.2.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Returns what M(coldvox.ci.artifact) would report about the options of the artifacts, without contacting a
    host, so that a playbook can stop before its first change.
positional: _input, known
options:
  _input:
    description: The artifacts, as for M(coldvox.ci.artifact).
    type: list
    elements: dict
    required: true
  known:
    description: Names that need no URL, from which the filter suggests the nearest for an unknown name.
    type: list
    elements: str
    default: []
seealso:
  - module: coldvox.ci.artifact
"""

EXAMPLES = r"""
- name: Fail if an artifact would be refused
  ansible.builtin.assert:
    that: artifacts | coldvox.ci.artifact_refusals | length == 0
    fail_msg: "{{ artifacts | coldvox.ci.artifact_refusals | join(' ') }}"
"""

RETURN = r"""
_value:
  description: One sentence for each refused artifact.
  type: list
  elements: str
  sample:
    - "'vosk-model-smal' is no release that the role knows, did you mean 'vosk-model-small'"
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.store.artifact import refusals


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"artifact_refusals": refusals}
