# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter coldvox.ci.missing_packages."""

from __future__ import annotations

DOCUMENTATION = r"""
name: missing_packages
short_description: List the packages that the repositories do not have
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Returns the unknown names from the failed result of M(ansible.builtin.dnf) or M(ansible.builtin.apt).
positional: _input, names, policy
options:
  _input:
    description: The failed result.
    type: dict
    required: true
  names:
    description: The requested names.
    type: list
    elements: str
    required: true
  policy:
    description: Output of C(apt-cache policy) for these names. If it is given, only this output decides.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Unavailable | Show the missing packages
  ansible.builtin.debug:
    msg: "{{ ansible_failed_result | coldvox.ci.missing_packages(names) }}"
"""

RETURN = r"""
_value:
  description: The unknown names, in the order of O(names).
  type: list
  elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.inventory.packages import missing_packages


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"missing_packages": missing_packages}
