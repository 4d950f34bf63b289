# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter coldvox.ci.package_plan."""

from __future__ import annotations

DOCUMENTATION = r"""
name: package_plan
short_description: List the packages and groups that a transaction adds to a host
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Reads the result of M(ansible.builtin.dnf) or M(ansible.builtin.apt), also of check mode. A package that
    only replaces another version of itself is not in the list.
positional: _input
options:
  _input:
    description: The result.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Install | Show the packages to install
  ansible.builtin.debug:
    msg: "{{ transaction | coldvox.ci.package_plan }}"
"""

RETURN = r"""
_value:
  description: The names, sorted. A group has an C(@) in front.
  type: list
  elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.inventory.packages import package_plan


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"package_plan": package_plan}
