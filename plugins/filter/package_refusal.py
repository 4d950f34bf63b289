# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter coldvox.ci.package_refusal."""

from __future__ import annotations

DOCUMENTATION = r"""
name: package_refusal
short_description: Describe a failed package transaction in one sentence
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - The sentence names the host, the packages and the remedy.
positional: _input, host, manager, missing
options:
  _input:
    description: The failed result of M(ansible.builtin.dnf) or M(ansible.builtin.apt).
    type: dict
    required: true
  host:
    description: The name of the host.
    type: str
    required: true
  manager:
    description: The package manager.
    type: str
    required: true
  missing:
    description: The unknown names, as P(coldvox.ci.missing_packages#filter) returns them.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Unavailable | Stop
  ansible.builtin.fail:
    msg: "{{ ansible_failed_result | coldvox.ci.package_refusal(inventory_hostname, 'dnf', missing) }}"
"""

RETURN = r"""
_value:
  description: The sentence.
  type: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.inventory.packages import package_refusal


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"package_refusal": package_refusal}
