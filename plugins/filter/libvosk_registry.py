# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter coldvox.ci.libvosk_registry."""

from __future__ import annotations

DOCUMENTATION = r"""
name: libvosk_registry
short_description: List the installed versions of libvosk and their paths
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Returns the content of the registry file, which jobs read.
positional: _input, default, prefix
options:
  _input:
    description: The versions, each with C(version).
    type: list
    elements: dict
    required: true
  default:
    description: The version that programs use.
    type: str
    required: true
  prefix:
    description: The directory with one link per version.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Registry | Show the content
  ansible.builtin.debug:
    msg: "{{ libvosk_versions | coldvox.ci.libvosk_registry('0.3.45', '/opt/libvosk') }}"
"""

RETURN = r"""
_value:
  description: C(default), and for each version its C(path).
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.inventory.vosk import libvosk_registry


class FilterModule:
    """The entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"libvosk_registry": libvosk_registry}
